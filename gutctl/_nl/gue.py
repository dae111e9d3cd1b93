# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE 0 to attributes of the family, and back."""

from __future__ import annotations

from typing import Final

from gutctl.errors import GutctlError
from gutctl.model import Cookie, GueFields

from .family import GUE_CLEAR
from .tlv import Attrs

__all__ = ["decode_gue_fields", "gue_nest"]

_NAME_MAX: Final = 127


def gue_nest(fields: GueFields, *, new: bool = False) -> Attrs:
    """What a nest says; ``new``: of a port or profile that has none yet, else in the place of what it has.

    A cookie whose octets are not known stays as it is.

    Raises:
        GutctlError: something new with such a cookie.
    """
    nest: Attrs = []
    clear = 0
    if fields.group is not None:
        nest.append(("group", fields.group))
    else:
        clear |= GUE_CLEAR["group"]
    nest.append(("csum", int(fields.csum)))
    cookie = fields.cookie
    if cookie is None:
        clear |= GUE_CLEAR["cookie"]
    elif cookie.octets is not None:
        nest.append(("cookie", cookie.octets))
        # a note that is too long is none
        if cookie.name and len(cookie.name.encode()) <= _NAME_MAX:
            nest.append(("cookie-name", cookie.name))
    elif new:
        raise GutctlError(
            f"the cookie {cookie.fingerprint.hex()} is not known: the kernel does not tell it",
            f"it was read from {cookie.name}" if cookie.name else None,
        )
    if clear and not new:
        nest.append(("clear", clear))
    return nest


def decode_gue_fields(attrs: Attrs | None) -> GueFields:
    """The fields that an answer speaks of, none where it has no nest."""
    values = dict(attrs or ())
    cookie = None
    if "cookie-len" in values:
        cookie = Cookie(values["cookie-len"], values.get("cookie-hash", b""), values.get("cookie-name", ""))
    return GueFields(values.get("group"), bool(values.get("csum", 0)), cookie)
