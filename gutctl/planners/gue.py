# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE 0, of profiles, ports and tunnels: how they are said, changed, and what has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gutctl.cookies import recall
from gutctl.errors import UnsupportedError, UsageError
from gutctl.model import NO_FIELDS, Accept, Format, GueFields, Info, Port, Profile

__all__ = ["check_gue", "check_gue_port", "gue_options", "gue_word", "put_back", "with_gue"]


def gue_word(fields: GueFields) -> str:
    """``group 7 csum cookie 0123456789abcdef``: the cookie by its fingerprint."""
    words = []
    if fields.group is not None:
        words.append(f"group {fields.group}")
    if fields.csum:
        words.append("csum")
    if fields.cookie is not None:
        words.append(f"cookie {fields.cookie.fingerprint.hex()}")
    return " ".join(words) or "none"


def gue_options(now: GueFields, asked: GueFields) -> str:
    """The options of the command line that make the one of the other."""
    words = []
    if now.group != asked.group:
        words.append(f"--gue-group {'none' if asked.group is None else asked.group}")
    if now.csum != asked.csum:
        words.append("--gue-csum" if asked.csum else "--no-gue-csum")
    if now.cookie != asked.cookie:
        words.append(f"--gue-cookie {'none' if asked.cookie is None else '@' + (asked.cookie.name or 'FILE')}")
    return " ".join(words)


def with_gue(now: GueFields, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a profile, port or tunnel with what they say of single fields as the whole that comes of it."""
    if "gue" not in changes:
        return dict(changes)
    return {**changes, "gue": replace(now, **changes["gue"])}


def put_back(now: GueFields, after: GueFields) -> GueFields:
    """What to ask for to have ``now`` in the place of ``after``: with the cookie's octets, where that has another or none.

    Raises:
        GutctlError: the cookie is not known any more.
    """
    return now if now.cookie == after.cookie else recall(now)


def check_gue(profile: Profile, info: Info | None = None) -> None:
    """Raise UsageError for fields of another format, UnsupportedError where ``info`` is of a module without them."""
    if not profile.gue:
        return
    if profile.format is not Format.GUE:
        raise UsageError(
            f"{gue_options(NO_FIELDS, profile.gue)}: format {profile.format} has no such fields",
            "--format gue; in format gutless a group is --option group=N",
        )
    _check_module(info)


def check_gue_port(port: Port, info: Info | None = None) -> None:
    """Raise UsageError where a port cannot require its fields, UnsupportedError where the module cannot."""
    if not port.gue:
        return
    if Accept.GUE0 not in port.accept:
        raise UsageError(
            f"{gue_options(NO_FIELDS, port.gue)}: the port does not accept GUE, which has these fields",
            "--accept gue0",
        )
    _check_module(info)


def _check_module(info: Info | None) -> None:
    if info is not None and "gue-fields" not in info.features:
        raise UnsupportedError("the loaded gutless module knows no group, cookie or checksum of GUE", "load a newer one")
