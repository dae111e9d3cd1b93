# SPDX-License-Identifier: Apache-2.0
"""Options as docs/protocol.md names them in its vectors."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from gutctl import encap
from gutctl._wire.optiontype import type_of
from gutctl.encap import Option


def option(told: dict[str, Any]) -> Option:
    """An option from what the document says of it: name and data, or name and fields."""
    name, rest = told["type"], {key: value for key, value in told.items() if key != "type"}
    known = type_of(name)
    if known is None:
        return Option(int(name, 0), bytes.fromhex(rest["data"]))
    if known.value is None or not rest:
        return Option(known.number, bytes.fromhex(rest.get("data", "")))
    words = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in rest.items()}
    if known.value is encap.ObservedAddress:
        return encap.ObservedAddress(ip_address(words["address"]), int(words["port"])).option()
    assert not set(known.value.left_out()) - set(words) - {"reserved"}, "the document says every field"
    return known.value.parse(words).option()
