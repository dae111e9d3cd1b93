# SPDX-License-Identifier: Apache-2.0
"""Cookies of GUE 0 in files: on a command line everybody could read them, and the kernel never tells them."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

from gutctl._wire.error import EncapError
from gutctl.errors import GutctlError, UsageError
from gutctl.model import Cookie, GueFields

__all__ = ["open_to_others", "read_cookie", "recall"]

_HEX = re.compile(rb"[0-9a-fA-F]+")


def read_cookie(name: str) -> Cookie:
    """The cookie in a file: 8, 16 or 32 octets, or twice as many hexadecimal digits.

    What is hexadecimal digits alone, but for white space around them, is taken for such.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    try:
        octets = Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"--gue-cookie @{name}: {error.strerror}") from None
    text = octets.strip()
    if _HEX.fullmatch(text) and len(text) in (16, 32, 64):
        octets = bytes.fromhex(text.decode())
    try:
        return Cookie.of(octets, os.path.abspath(name))
    except EncapError:
        raise UsageError(
            f"--gue-cookie @{name}: {len(octets)} octets",
            "a cookie has 8, 16 or 32 octets, or 16, 32 or 64 hexadecimal digits: head -c 16 /dev/urandom >FILE",
        ) from None


def open_to_others(name: str) -> bool:
    """Whether others than owner and group can read a file."""
    try:
        return bool(os.stat(name).st_mode & stat.S_IROTH)
    except OSError:
        return False


def recall(fields: GueFields) -> GueFields:
    """The same fields with the cookie's octets, read from its file again where they are not known.

    Raises:
        GutctlError: the file is gone, or holds another one.
    """
    cookie = fields.cookie
    if cookie is None or cookie.octets is not None:
        return fields
    try:
        found = read_cookie(cookie.name) if cookie.name else None
    except UsageError:
        found = None
    if found != cookie:
        raise GutctlError(
            f"the cookie {cookie.fingerprint.hex()} cannot be put back: the kernel does not tell it",
            f"{cookie.name} no longer holds it" if cookie.name else None,
        )
    return replace(fields, cookie=found)
