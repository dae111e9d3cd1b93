# SPDX-License-Identifier: Apache-2.0
"""What devices do on the path, as attributes of the family and back."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from types import MappingProxyType

from gutctl.errors import UsageError
from gutctl.model import OnPath, OnPathStats

from .family import ONPATH, ONPATH_FLAGS
from .tlv import Attrs

__all__ = ["PORTS_MAX", "decode_onpath", "onpath_change"]

PORTS_MAX = 8
"""Destination ports that a device looks at, at most."""


def onpath_change(ifindex: int, *, min_path_mtu: bool | None = None, ports: Iterable[int] | None = None) -> Attrs:
    """What a DEVICE_SET says; with the number alone, what names a device.

    Raises:
        UsageError: what is no port number, or no device's number.
    """
    if not 1 <= ifindex <= 0x7FFFFFFF:
        raise UsageError(f"ifindex {ifindex} is not within 1-2147483647")
    attrs: Attrs = [("ifindex", ifindex)]
    if min_path_mtu is not None:
        attrs.append(("onpath", ONPATH_FLAGS["min-path-mtu"] if min_path_mtu else 0))
    if ports is not None:
        numbers = tuple(ports)
        for number in numbers:
            if not 0 <= number <= 0xFFFF:
                raise UsageError(f"UDP port {number} is not within 0-65535")
        attrs.append(("ports", struct.pack(f"!{len(numbers)}H", *numbers)))
    return attrs


def decode_onpath(attrs: Attrs) -> OnPath:
    """What a message says of a device."""
    values = dict(attrs)
    octets = bytes(values.get("ports", b""))
    counters = dict(values.get("stats") or ())
    left = {a.name.removeprefix("left-"): int(counters.get(a.name, 0)) for a in ONPATH if a.name.startswith("left-")}
    return OnPath(
        ifindex=int(values.get("ifindex", 0)),
        min_path_mtu=bool(values.get("onpath", 0) & ONPATH_FLAGS["min-path-mtu"]),
        ports=struct.unpack(f"!{len(octets) // 2}H", octets),
        stats=OnPathStats(int(counters.get("seen", 0)), int(counters.get("lowered", 0)), MappingProxyType(left)),
    )
