# SPDX-License-Identifier: Apache-2.0
"""Control messages as octets, sent to ports under test and received by plain sockets."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from gutctl.encap import ECHO_REQUEST, Echo, Gutless, Option, echo_answer, encode, pad, seal

PARAMETERS = Path("/sys/module/gutless/parameters")
UNDERSTOOD = Option(0x1D, bytes(32))
OBSERVED = Option(0x1B, bytes(19))
OBSERVED4 = Option(0x1B, bytes(7))

_sequence = itertools.count(1)


@contextlib.contextmanager
def limits(rate: int | None = None, source_rate: int | None = None) -> Iterator[None]:
    """Answers a second, of a namespace and to one source; as they were afterwards."""
    wanted = {"control_rate": rate, "control_source_rate": source_rate}
    before = {name: (PARAMETERS / name).read_text() for name in wanted}
    for name, value in wanted.items():
        if value is not None:
            (PARAMETERS / name).write_text(str(value))
    try:
        yield
    finally:
        for name, text in before.items():
            (PARAMETERS / name).write_text(text)


def request(data: bytes = b"", options: tuple[Option, ...] = (), *, check: bool = False) -> bytes:
    """An echo request that no other is like."""
    made = encode(Gutless(ECHO_REQUEST, pad(options), control=True), Echo(0x4711, next(_sequence) & 0xFFFF, data).encode())
    return seal(made) if check else made


def expected(payload: bytes, sender: socket.socket) -> bytes:
    """What a port answers to that, sent from that socket, which no NAT stands before."""
    address, port = sender.getsockname()[:2]
    return echo_answer(payload, ip_address(address), port)


def quiet(sock: socket.socket, seconds: float = 0.3) -> bool:
    """Does nothing come?"""
    before = sock.gettimeout()
    sock.settimeout(seconds)
    try:
        return not sock.recv(1 << 16)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(before)


def dropping(kind: int, data: bytes = b"\xaa\xbb", rest: bytes = b"") -> bytes:
    """A data packet of GUT-less with an option of that type, of two octets, that starts at octet 6."""
    area = b"\x01\x00" + struct.pack("!BB", kind, len(data)) + data
    area += bytes(-len(area) % 4)
    return bytes((0x80 | len(area) // 4, 4, 0, 0)) + area + rest
