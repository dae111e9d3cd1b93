# SPDX-License-Identifier: Apache-2.0
"""Options that ports deliver, as they come from the kernel: read, and those that were lost counted."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from gutctl.delivered import DeliveredOption, LostOptions

from .answers import decode_port
from .family import DELIVERED, OPTION_NTF
from .stream import Stream
from .tlv import Attrs, decode

__all__ = ["OptionStream", "messages"]

_HEADER: Final = struct.Struct("=IH")
_ATTRIBUTES_AT: Final = 20
"""Octets of the headers of netlink and generic netlink."""


def _option(attrs: Attrs) -> DeliveredOption:
    values = dict(attrs)
    source = IPv6Address(values["source-v6"]) if "source-v6" in values else IPv4Address(values.get("source-v4", 0))
    return DeliveredOption(
        sequence=values.get("sequence", 0),
        port=decode_port(values.get("port", [])).key,
        port_id=values.get("port-id", 0),
        type=values.get("type", 0),
        data=values.get("data", b""),
        source=source,
        source_port=values.get("source-port", 0),
        time_ns=values.get("time", 0),
        packets=values.get("packets", 1),
    )


def messages(data: bytes, family: int) -> Iterator[DeliveredOption]:
    """Options in a datagram of the group; what else is in it is passed over."""
    at = 0
    while at + _ATTRIBUTES_AT <= len(data):
        size, kind = _HEADER.unpack_from(data, at)
        if size < _ATTRIBUTES_AT or at + size > len(data):
            return
        if kind == family and data[at + 16] == OPTION_NTF:
            yield _option(decode(DELIVERED, data, at + _ATTRIBUTES_AT, at + size))
        at += size + -size % 4


class OptionStream(Stream[DeliveredOption | LostOptions]):
    """Options from now on, in order, and where some are missing how many; see :class:`Stream`."""

    def __init__(self, sock: socket.socket, parse: Callable[[bytes], Iterator[DeliveredOption]]) -> None:
        self._last: int | None = None
        # that there was no room is seen in the numbers, which also tell how many
        super().__init__("options", sock, lambda data: self._counted(parse(data)), lambda: ())

    def _counted(self, found: Iterator[DeliveredOption]) -> Iterator[DeliveredOption | LostOptions]:
        for option in found:
            if self._last is not None and option.sequence > self._last + 1:
                yield LostOptions(option.sequence - self._last - 1)
            self._last = option.sequence
            yield option
