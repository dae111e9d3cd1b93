# SPDX-License-Identifier: Apache-2.0
"""Ports of the in-tree fou module as octets, and back; what it cannot hold; its errors in words."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from gutctl._nl.errors import KernelRefusal
from gutctl._nl.fou import _MESSAGE, _refused
from gutctl._nl.fou_records import ADD, DEL, FOU, GET, VERSION, decode, find, key_request, request
from gutctl._nl.proc import _endpoint
from gutctl._nl.sockets import plain, to_message
from gutctl._nl.tlv import Attrs
from gutctl.errors import (
    ConflictError,
    GutctlError,
    InUseError,
    NotFoundError,
    NotPermittedError,
    UnsupportedError,
    UsageError,
)
from gutctl.model import ALL_INNER, Accept, Module, Origin, Port, PortKey

GUE: dict[str, Any] = {"accept": frozenset({Accept.GUE0, Accept.BARE}), "inner": ALL_INNER, "module": Module.FOU}


def direct(protocol: int) -> dict[str, Any]:
    return {"accept": frozenset({Accept.FOU}), "fou_protocol": protocol, "inner": frozenset({protocol}), "module": Module.FOU}


ANYBODY = Port(PortKey(4, 6080), any_source=True, **GUE)
PORTS = [
    (
        ANYBODY,
        (
            "0500 0200 02000000"  # family
            "0600 0100 17c00000"  # port, network order
            "0500 0400 02000000"  # type, and no ipproto, which newer kernels refuse with GUE
        ),
    ),
    (
        Port(PortKey(4, 5555, ip_address("192.0.2.1"), 3), any_source=True, **direct(4)),
        (
            "0500 0200 02000000 0600 0100 15b30000 0800 0600 c0000201 0800 0b00 03000000"  # local-v4, ifindex
            "0500 0300 04000000 0500 0400 01000000"  # ipproto, type
        ),
    ),
    (
        Port(PortKey(4, 6080), sources=frozenset({ip_network("198.51.100.7")}), from_port=6081, **GUE),
        (
            "0500 0200 02000000 0600 0100 17c00000"
            "0800 0800 c6336407 0600 0a00 17c10000"  # peer-v4, peer-port
            "0500 0400 02000000"
        ),
    ),
    (
        Port(
            PortKey(6, 6080, ip_address("2001:db8::5")), sources=frozenset({ip_network("2001:db8::7")}), from_port=6081,
            zero_csum6=True, remcsum_nopartial=True, **GUE,
        ),
        (
            "0500 0200 0a000000 0600 0100 17c00000"
            "1400 0700 20010db8000000000000000000000005"  # local-v6
            "1400 0900 20010db8000000000000000000000007 0600 0a00 17c10000"
            "0500 0400 02000000 0400 0500"  # a flag has no value
        ),
    ),
]  # fmt: skip


def octets(attrs: Attrs) -> bytes:
    message = to_message(_MESSAGE, attrs, cmd=ADD, version=VERSION)
    message["header"]["type"] = 42
    message.encode()
    return bytes(message.data[20:])


def through(body: bytes) -> Attrs:
    message = _MESSAGE(struct.pack("=IHHIIBBH", 20 + len(body), 42, 0, 7, 0, 3, 1, 0) + body)
    message.decode()
    return plain(message)


@pytest.mark.parametrize(("port", "text"), PORTS)
def test_a_port_octet_by_octet_and_back(port: Port, text: str) -> None:
    body = octets(request(port))
    assert body.hex() == text.replace(" ", "")
    assert decode(through(body)) == replace(port, origin=Origin.ADMIN)


def test_numbers_are_the_kernel_s() -> None:
    """linux/fou.h."""
    assert {attr.name: attr.number for attr in FOU} == {
        "port": 1, "family": 2, "ipproto": 3, "type": 4, "remcsum-nopartial": 5, "local-v4": 6, "local-v6": 7,
        "peer-v4": 8, "peer-v6": 9, "peer-port": 10, "ifindex": 11,
    }  # fmt: skip
    assert (ADD, DEL, GET, VERSION) == (1, 2, 3, 1)


def test_what_a_dump_says() -> None:
    """Zeros for what is not there, a protocol 0 with GUE; an entry whose number the kernel does not tell."""
    common = [("peer-port", 0), ("ifindex", 0), ("local-v4", 0), ("peer-v4", 0)]
    assert decode([("family", 2), ("port", 6080), ("ipproto", 0), ("type", 2), *common]) == ANYBODY
    nameless = decode([("family", 2), ("port", 0), ("ipproto", 4), ("type", 1), *common])
    assert nameless.key.port == 0 and ("port", 0) in key_request(nameless)
    v6 = decode([("family", 10), ("port", 1), ("type", 2), ("local-v6", bytes(16)), ("peer-v6", bytes(16))])
    assert (v6.key, v6.any_source, v6.zero_csum6) == (PortKey(6, 1), True, True)
    with pytest.raises(GutctlError, match="type 3"):
        decode([("family", 2), ("port", 1), ("type", 3)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"any_source": False}, "everybody, or one address"),
        ({"any_source": False, "sources": frozenset({ip_network("10.0.0.0/8")}), "from_port": 1}, "everybody, or one address"),
        ({"any_source": False, "sources": frozenset({ip_network("10.0.0.1")})}, "everybody, or one address"),
        ({"any_source": False, "sources": frozenset({ip_network("2001:db8::7")}), "from_port": 1}, "no IPv4 address"),
        ({"from_port": 5}, "everybody or one"),
        ({"accept": frozenset({Accept.GUE0})}, "both variants"),
        ({"accept": frozenset({Accept.GUE0, Accept.BARE, Accept.GUTLESS})}, "both variants"),
        ({"inner": frozenset({4, 41})}, "every inner protocol"),
        ({**direct(4), "inner": frozenset({4, 41})}, "is its inner one"),
        ({"key": PortKey(6, 6080)}, "without a checksum"),
        ({"key": PortKey(4, 0)}, "port 0"),
        ({"key": PortKey(4, 65536)}, "65536"),
        ({"key": PortKey(4, 1, ip_address("2001:db8::5"))}, "no IPv4 address"),
    ],
)
def test_what_it_cannot_hold_is_refused(change: dict[str, Any], message: str) -> None:
    """Above all a restriction that it would not keep."""
    with pytest.raises(UsageError, match=message):
        request(replace(ANYBODY, **change))


@pytest.mark.parametrize(
    ("command", "code", "kind", "text"),
    [
        (ADD, errno.EADDRINUSE, InUseError, "in use"),
        (ADD, errno.EALREADY, ConflictError, "exists already"),
        (DEL, errno.EINVAL, NotFoundError, "not found"),
        (ADD, errno.EINVAL, GutctlError, "does not say why"),
        (GET, errno.ESRCH, NotFoundError, "not found"),
        (ADD, errno.ERANGE, GutctlError, "out of the range"),
        (ADD, errno.EAFNOSUPPORT, UnsupportedError, "no IPv6"),
        (ADD, errno.EADDRNOTAVAIL, GutctlError, "not on this host"),
        (ADD, errno.ENETUNREACH, NotFoundError, "no route"),
        (ADD, errno.EPERM, NotPermittedError, "not permitted"),
    ],
)
def test_errors_in_words(command: int, code: int, kind: type[GutctlError], text: str) -> None:
    error = _refused(command, "port 7/udp", KernelRefusal(code))
    assert type(error) is kind and error.errno == code
    assert error.message.startswith("port 7/udp: ") and text in error.message


def test_the_kernel_s_own_words_stay() -> None:
    error = _refused(ADD, "port 7/udp", KernelRefusal(errno.EINVAL, "bad thing"))
    assert error.message == "port 7/udp: bad thing"


def test_a_connected_port_is_found_without_its_address() -> None:
    near, other = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    one = replace(PORTS[2][0], key=PortKey(4, 6080, near))
    assert find([one], PortKey(4, 6080)) == find([one], PortKey(4, 6080, near)) == one
    assert find([one], PortKey(4, 6080, other)) is find([one], PortKey(6, 6080)) is None
    bound = replace(ANYBODY, key=PortKey(4, 6080, near))
    assert find([bound], PortKey(4, 6080)) is None
    with pytest.raises(UsageError, match="2 times") as refused:
        find([one, replace(one, key=PortKey(4, 6080, other))], PortKey(4, 6080))
    assert refused.value.hint == "say which: --local 192.0.2.1 or --local 192.0.2.2"


def test_proc_writes_words_of_the_host() -> None:
    v4 = struct.pack("=I", int.from_bytes(ip_address("192.0.2.1").packed, "big" if struct.pack("=H", 1)[0] == 0 else "little"))
    assert _endpoint(f"{int.from_bytes(v4, 'big' if struct.pack('=H', 1)[0] == 0 else 'little'):08X}:17C0") == (
        ip_address("192.0.2.1"),
        6080,
    )
    assert _endpoint("00000000:0000") == (None, 0)
    assert _endpoint("0" * 32 + ":0001") == (None, 1)
