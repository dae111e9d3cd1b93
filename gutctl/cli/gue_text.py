# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE 0 on the command line, and of a record as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gutctl.cli.context import Checked
from gutctl.cli.output import note
from gutctl.errors import UsageError
from gutctl.model import Cookie
from gutctl.records import Record

__all__ = ["gue_given", "gue_options", "gue_text"]

F = TypeVar("F", bound=Callable[..., Any])

NONE = "none"


def _group(text: str) -> int | str:
    if text == NONE:
        return NONE
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFFFFFF:
        raise UsageError(f"--gue-group {text}: 0 to 4294967295, or none")
    return value


def _cookie(text: str) -> Cookie | str:
    if text == NONE:
        return NONE
    if not text.startswith("@") or text == "@":
        # not repeated: it may be the cookie
        raise UsageError("--gue-cookie: everybody can read a command line", "put it into a file: --gue-cookie @FILE")
    from gutctl.cookies import open_to_others, read_cookie

    found = read_cookie(text[1:])
    if open_to_others(text[1:]):
        note(f"--gue-cookie {text}: everybody on this host can read it: chmod o-r {text[1:]}")
    return found


def gue_options(verb: str) -> Callable[[F], F]:
    """--gue-group, --gue-csum, --gue-cookie; ``verb``: what is done with the fields."""

    def decorate(function: F) -> F:
        for option in reversed(
            [
                click.option(
                    "--gue-group", type=Checked("N|none", _group),
                    help=f"{verb} this group identifier (GUE).",
                ),
                click.option(
                    "--gue-csum/--no-gue-csum", default=None,
                    help=f"{verb} the GUE draft's checksum of addresses, ports and header.",
                ),
                click.option(
                    "--gue-cookie", type=Checked("@FILE|none", _cookie),
                    help=f"{verb} the cookie in this file (GUE): 8, 16 or 32 octets, or their hexadecimal digits.",
                ),
            ]
        ):  # fmt: skip
            function = option(function)
        return function

    return decorate


def gue_given(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of GueFields by name, those that were given."""
    found: dict[str, Any] = {}
    for name in ("group", "csum", "cookie"):
        value = given[f"gue_{name}"]
        if value is not None:
            found[name] = None if value == NONE else value
    return found


def gue_text(record: Record | None) -> str:
    """``group 7, checksum, cookie 0123456789abcdef of 16 octets (/etc/gutctl/west)``."""
    if record is None:
        return NONE
    words = [] if record["group"] is None else [f"group {record['group']}"]
    if record["csum"]:
        words.append("checksum")
    cookie = record["cookie"]
    if cookie is not None:
        file = f" ({cookie['file']})" if cookie["file"] else ""
        words.append(f"cookie {cookie['fingerprint']} of {cookie['octets']} octets{file}")
    return ", ".join(words)
