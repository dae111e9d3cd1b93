# SPDX-License-Identifier: Apache-2.0
"""Ports over netlink: every refusal by errno, sentence and attribute, and what limits there are.

    one namespace: eth0 198.51.100.1 and 2001:db8::1 (a wire to nowhere of interest), and ports; raw netlink alone
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from errno import (
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EEXIST,
    EINVAL,
    EMSGSIZE,
    ENODEV,
    ENOENT,
    ENOSPC,
    EOPNOTSUPP,
    ERANGE,
)
from pathlib import Path

import pytest
from net import Host, Net
from rawnl import RawNetlink, attr, be16, key, n, nest, numbers, source, u8, u16, u32
from refusals import Refusal
from topology import pair

V4, V6 = "198.51.100.1", "2001:db8::1"
PARAMETERS = Path("/sys/module/gutless/parameters")
REPLACE = u32("A_PORT_FLAGS", 1)
FOU = u32("A_PORT_ACCEPT", 1)


@pytest.fixture(scope="module")
def host(module_net: Net, gutless: None) -> Host:
    return pair(module_net).a


@pytest.fixture(scope="module")
def netlink(host: Host) -> Iterator[RawNetlink]:
    """With some ports that refused requests must leave as they are."""
    made = host.call(RawNetlink)
    made.do("PORT_ADD", key(6080), source("192.0.2.0/24"), source("203.0.113.7/32"))
    made.do("PORT_ADD", key(6080, 6), source("2001:db8::/32"), source("::/1"))
    made.do("PORT_ADD", key(5555), FOU, u8("A_PORT_FOU_PROTOCOL", 4), u8("A_PORT_ANY_SOURCE", 1))
    made.do("PORT_ADD", key(6081, 4, V4), u8("A_PORT_ORIGIN", 1))
    made.do("PORT_ADD", key(6081, 6, V6))
    made.do("PROFILE_ADD", u8("A_PROFILE_FORMAT", 3))
    yield made
    made.close()


def add(body: bytes, number: int, sentence: str, attribute: str | int | None = None) -> Refusal:
    return Refusal("PORT_ADD", body, number, sentence, attribute)


def change(body: bytes, number: int, sentence: str, attribute: str | int | None = None) -> Refusal:
    return Refusal("PORT_SET", key(6080) + body, number, sentence, attribute)


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


NO_NUMBER = (EINVAL, "the port number is missing")
UNKNOWN_FORMAT = (EINVAL, "unknown format", "A_PORT_ACCEPT")
ZERO_INNER = (EINVAL, "protocol 0 cannot be received", "A_PORT_INNER")
LENGTH = (EINVAL, "invalid attribute length")
SIZE = (ERANGE, "binary attribute size out of range")
OF_FAMILY = (EINVAL, "a source is one address of the port's family and a prefix length", "A_PORT_SOURCE")
BITS = (EINVAL, "the address has bits set behind the prefix", "A_PORT_SOURCE")
LAST = max(number for name, number in numbers().items() if name.startswith("A_PORT_"))
STAYS = (EINVAL, "a port stays FOU of its protocol, or stays other")

REFUSED: dict[str, Refusal] = {
    # what names a port
    "no number": add(u8("A_PORT_FAMILY", 2), *NO_NUMBER),
    "nothing": add(b"", *NO_NUMBER),
    "port 0": add(key(0), EINVAL, "port 0 is no port", "A_PORT_PORT"),
    "family 1": add(
        u8("A_PORT_FAMILY", 1) + be16("A_PORT_PORT", 7), EAFNOSUPPORT, "the family is neither IPv4 nor IPv6", "A_PORT_FAMILY"
    ),
    "local of the other family": add(
        key(7) + attr(n("A_PORT_LOCAL_V6"), packed(V6)), EINVAL, "the local address is of the other family", "A_PORT_LOCAL_V6"
    ),
    "local 4 on a 6 port": add(
        key(7, 6) + attr(n("A_PORT_LOCAL_V4"), packed(V4)), EINVAL, "the local address is of the other family", "A_PORT_LOCAL_V4"
    ),
    "both locals": add(
        key(7, 4, V4) + attr(n("A_PORT_LOCAL_V6"), packed(V6)),
        EINVAL, "the local address is of the other family", "A_PORT_LOCAL_V6",
    ),
    "local not here": add(key(7, 4, "192.0.2.77"), EADDRNOTAVAIL, "the local address is not of this host"),
    "local 6 not here": add(key(7, 6, "2001:db8::77"), EADDRNOTAVAIL, "the local address is not of this host"),
    "device without local": add(key(7, 4, "", 1), EINVAL, "a device needs a local address beside it", "A_PORT_IFINDEX"),
    "device, local any": add(key(7, 4, "0.0.0.0", 1), EINVAL, "a device needs a local address beside it", "A_PORT_IFINDEX"),
    "absent device": add(key(7, 4, V4, 9999), ENODEV, "no such device", "A_PORT_IFINDEX"),
    "absent device 6": add(key(7, 6, V6, 9999), ENODEV, "no such device", "A_PORT_IFINDEX"),
    "negative device": add(key(7, 4, V4, 0xFFFFFFFF), ENODEV, "no such device", "A_PORT_IFINDEX"),
    "same": add(key(6080), EEXIST, "this port is there already", "A_PORT_PORT"),
    "same, any address said": add(key(6080, 4, "0.0.0.0"), EEXIST, "this port is there already", "A_PORT_PORT"),
    "same, with other settings": add(key(6080, 6) + u8("A_PORT_ANY_SOURCE", 1), EEXIST, "this port is there already", "A_PORT_PORT"),
    "same address": add(key(6081, 4, V4), EEXIST, "this port is there already", "A_PORT_PORT"),
    "overlaps the any": add(
        key(6080, 4, V4), EADDRINUSE, "a port with this number and an overlapping address is there", "A_PORT_PORT"
    ),
    "overlaps a specific": add(
        key(6081), EADDRINUSE, "a port with this number and an overlapping address is there", "A_PORT_PORT"
    ),
    "overlaps a specific 6": add(
        key(6081, 6), EADDRINUSE, "a port with this number and an overlapping address is there", "A_PORT_PORT"
    ),
    # what it accepts
    "accept nothing": add(key(7) + u32("A_PORT_ACCEPT", 0), *UNKNOWN_FORMAT),
    "accept unknown": add(key(7) + u32("A_PORT_ACCEPT", 0x10), *UNKNOWN_FORMAT),
    "accept unknown besides": add(key(7) + u32("A_PORT_ACCEPT", 0x8000000E), *UNKNOWN_FORMAT),
    "fou and bare": add(key(7) + u32("A_PORT_ACCEPT", 5), EINVAL, "a FOU port accepts nothing else", "A_PORT_ACCEPT"),
    "fou without protocol": add(key(7) + FOU, EINVAL, "a FOU port needs a protocol"),
    "fou protocol 0": add(
        key(7) + FOU + u8("A_PORT_FOU_PROTOCOL", 0), EINVAL, "protocol 0 cannot be received", "A_PORT_FOU_PROTOCOL"
    ),
    "protocol without fou": add(
        key(7) + u8("A_PORT_FOU_PROTOCOL", 4), EINVAL, "only a FOU port has a protocol", "A_PORT_FOU_PROTOCOL"
    ),
    "fou and other inner": add(
        key(7) + FOU + u8("A_PORT_FOU_PROTOCOL", 4) + attr(n("A_PORT_INNER"), b"\x29"),
        EINVAL, "a FOU port's protocol is its inner protocol", "A_PORT_INNER",
    ),
    "inner 0": add(key(7) + attr(n("A_PORT_INNER"), b"\x04\x00"), *ZERO_INNER),
    "inner none": add(key(7) + attr(n("A_PORT_INNER"), b""), EINVAL, "no inner protocol is accepted", "A_PORT_INNER"),
    "inner too long": add(key(7) + attr(n("A_PORT_INNER"), b"\x04" * 257), ERANGE, "Attribute failed policy validation", "A_PORT_INNER"),
    "origin": add(key(7) + u8("A_PORT_ORIGIN", 2), EINVAL, "unknown origin", "A_PORT_ORIGIN"),
    "any-source 2": add(key(7) + u8("A_PORT_ANY_SOURCE", 2), ERANGE, "integer out of range", "A_PORT_ANY_SOURCE"),
    "remcsum-nopartial 2": add(
        key(7) + u8("A_PORT_REMCSUM_NOPARTIAL", 2), ERANGE, "integer out of range", "A_PORT_REMCSUM_NOPARTIAL"
    ),
    "zero-csum6 2": add(key(7) + u8("A_PORT_ZERO_CSUM6", 2), ERANGE, "integer out of range", "A_PORT_ZERO_CSUM6"),
    # sources
    "source of the other family": add(key(7) + source("2001:db8::/32"), *OF_FAMILY),
    "source of the other family 6": add(key(7, 6) + source("192.0.2.0/24"), *OF_FAMILY),
    "source of both": add(
        key(7)
        + nest("A_PORT_SOURCE", attr(n("A_SOURCE_V4"), bytes(4)), attr(n("A_SOURCE_V6"), bytes(16)), u8("A_SOURCE_PREFIX_LEN", 0)),
        *OF_FAMILY,
    ),
    "source without length": add(key(7) + nest("A_PORT_SOURCE", attr(n("A_SOURCE_V4"), bytes(4))), *OF_FAMILY),
    "source without address": add(key(7) + nest("A_PORT_SOURCE", u8("A_SOURCE_PREFIX_LEN", 0)), *OF_FAMILY),
    "source empty": add(key(7) + nest("A_PORT_SOURCE"), *OF_FAMILY),
    "host bits": add(key(7) + source("192.0.2.1/24"), *BITS),
    "host bits at /31": add(key(7) + source("192.0.2.1/31"), *BITS),
    "host bits at /0": add(key(7) + source("128.0.0.0/0"), *BITS),
    "host bits 6": add(key(7, 6) + source("2001:db8::1/127"), *BITS),
    "host bits 6 at /0": add(key(7, 6) + source("::1/0"), *BITS),
    "good, then host bits": add(key(7) + source("192.0.2.0/24") + source("192.0.2.1/24"), *BITS),
    "length 33": add(key(7) + source("192.0.2.0/33"), *BITS),
    "length 129": add(key(7, 6) + source("2001:db8::/129"), ERANGE, "integer out of range", "A_SOURCE_PREFIX_LEN"),
    "length 255": add(key(7) + source("192.0.2.0/255"), ERANGE, "integer out of range", "A_SOURCE_PREFIX_LEN"),
    "source with an unknown attribute": add(
        key(7) + nest("A_PORT_SOURCE", attr(n("A_SOURCE_V4"), bytes(4)), u8("A_SOURCE_PREFIX_LEN", 0), attr(9, bytes(4))),
        EINVAL, "Unknown attribute type", 9,
    ),
    "source not nested": add(key(7) + attr(n("A_PORT_SOURCE"), b""), EINVAL, "NLA_F_NESTED is missing", "A_PORT_SOURCE"),
    # what an operation does not take
    "add: source-del": add(key(7) + source("192.0.2.0/24", "A_PORT_SOURCE_DEL"), EINVAL, "Unsupported attribute", "A_PORT_SOURCE_DEL"),
    "add: flags": add(key(7) + REPLACE, EINVAL, "Unsupported attribute", "A_PORT_FLAGS"),
    "add: stats": add(key(7) + nest("A_PORT_STATS"), EINVAL, "Unsupported attribute", "A_PORT_STATS"),
    "add: attribute 0": add(key(7) + attr(0, b""), EINVAL, "Unknown attribute type", 0),
    "add: unknown": add(key(7) + attr(0x3FF, bytes(4)), EINVAL, "Unknown attribute type", 0x3FF),
    "add: unknown next": add(key(7) + attr(LAST + 1), EINVAL, "Unknown attribute type", LAST + 1),
    "control 4": add(key(7) + u8("A_PORT_CONTROL", 4), EINVAL, "reserved bit set", "A_PORT_CONTROL"),
    "set: stats": change(nest("A_PORT_STATS"), EINVAL, "Unsupported attribute", "A_PORT_STATS"),
    "set: flags unknown": change(u32("A_PORT_FLAGS", 2), EINVAL, "reserved bit set", "A_PORT_FLAGS"),
    "del: settings": Refusal("PORT_DEL", key(6080) + u8("A_PORT_ANY_SOURCE", 1), EINVAL, "Unsupported attribute", "A_PORT_ANY_SOURCE"),
    "del: source": Refusal("PORT_DEL", key(6080) + source("192.0.2.0/24"), EINVAL, "Unsupported attribute", "A_PORT_SOURCE"),
    "get: settings": Refusal("PORT_GET", key(6080) + FOU, EINVAL, "Unsupported attribute", "A_PORT_ACCEPT"),
    "get: unknown": Refusal("PORT_GET", key(6080) + attr(77), EINVAL, "Unknown attribute type", 77),
    # octets that are no attributes of their size
    "family of 2 octets": add(u16("A_PORT_FAMILY", 2) + be16("A_PORT_PORT", 7), *LENGTH, "A_PORT_FAMILY"),
    "port of 1 octet": add(u8("A_PORT_PORT", 7), *LENGTH, "A_PORT_PORT"),
    "port of 4 octets": add(u32("A_PORT_PORT", 7), *LENGTH, "A_PORT_PORT"),
    "port of 0 octets": add(attr(n("A_PORT_PORT")), *LENGTH, "A_PORT_PORT"),
    "local of 3 octets": add(key(7) + attr(n("A_PORT_LOCAL_V4"), bytes(3)), *LENGTH, "A_PORT_LOCAL_V4"),
    "local 6 of 15 octets": add(key(7, 6) + attr(n("A_PORT_LOCAL_V6"), bytes(15)), *SIZE, "A_PORT_LOCAL_V6"),
    "local 6 of 17 octets": add(key(7, 6) + attr(n("A_PORT_LOCAL_V6"), bytes(17)), *SIZE, "A_PORT_LOCAL_V6"),
    "accept of 1 octet": add(key(7) + u8("A_PORT_ACCEPT", 2), *LENGTH, "A_PORT_ACCEPT"),
    "leftover": add(key(7) + b"\x02\0", EINVAL, "bytes leftover after parsing attributes"),
    "longer than the message": add(key(7) + b"\x40\0\x06\0" + bytes(4), EINVAL, "bytes leftover after parsing attributes"),
    "shorter than an attribute": add(key(7) + b"\x03\0\x06\0", EINVAL, "bytes leftover after parsing attributes"),
    # changes
    "set absent": Refusal("PORT_SET", key(7) + u8("A_PORT_ANY_SOURCE", 1), ENOENT, "no such port", "A_PORT_PORT"),
    "set absent address": Refusal("PORT_SET", key(6080, 4, V4), ENOENT, "no such port", "A_PORT_PORT"),
    "del absent": Refusal("PORT_DEL", key(7), ENOENT, "no such port", "A_PORT_PORT"),
    "del absent family": Refusal("PORT_DEL", key(5555, 6), ENOENT, "no such port", "A_PORT_PORT"),
    "del absent address": Refusal("PORT_DEL", key(6081), ENOENT, "no such port", "A_PORT_PORT"),
    "get absent": Refusal("PORT_GET", key(7), ENOENT, "no such port", "A_PORT_PORT"),
    "del no number": Refusal("PORT_DEL", b"", *NO_NUMBER),
    "get no number": Refusal("PORT_GET", b"", *NO_NUMBER),
    "set no number": Refusal("PORT_SET", b"", *NO_NUMBER),
    "del port 0": Refusal("PORT_DEL", key(0), EINVAL, "port 0 is no port", "A_PORT_PORT"),
    "set: del an absent source": change(
        source("192.0.2.0/25", "A_PORT_SOURCE_DEL"), ENOENT, "the port has no such source", "A_PORT_SOURCE_DEL"
    ),
    "set: del a source twice": change(
        source("192.0.2.0/24", "A_PORT_SOURCE_DEL") * 2, ENOENT, "the port has no such source", "A_PORT_SOURCE_DEL"
    ),
    "set: replaced, then del": change(
        REPLACE + source("192.0.2.0/24", "A_PORT_SOURCE_DEL"), ENOENT, "the port has no such source", "A_PORT_SOURCE_DEL"
    ),
    "set: del what is added": change(
        source("10.0.0.0/8") + source("10.0.0.0/8", "A_PORT_SOURCE_DEL"),
        ENOENT, "the port has no such source", "A_PORT_SOURCE_DEL",
    ),
    "set: good, then bad source": change(
        u8("A_PORT_ANY_SOURCE", 1) + u8("A_PORT_ZERO_CSUM6", 1) + u8("A_PORT_ORIGIN", 1) + source("10.0.0.0/8") + source("10.0.0.1/8"),
        *BITS,
    ),
    "set: good, then bad origin": change(
        u8("A_PORT_ANY_SOURCE", 1) + REPLACE + u8("A_PORT_ORIGIN", 9), EINVAL, "unknown origin", "A_PORT_ORIGIN"
    ),
    "set: inner 0": change(attr(n("A_PORT_INNER"), b"\x00"), *ZERO_INNER),
    "set: other to fou": change(FOU + u8("A_PORT_FOU_PROTOCOL", 4), *STAYS, "A_PORT_ACCEPT"),
    "set: fou to other": Refusal("PORT_SET", key(5555) + u32("A_PORT_ACCEPT", 2), *STAYS, "A_PORT_ACCEPT"),
    "set: fou to another": Refusal("PORT_SET", key(5555) + u8("A_PORT_FOU_PROTOCOL", 41), *STAYS, "A_PORT_FOU_PROTOCOL"),
    "set: fou's inner": Refusal(
        "PORT_SET", key(5555) + attr(n("A_PORT_INNER"), b"\x29"),
        EINVAL, "a FOU port's protocol is its inner protocol", "A_PORT_INNER",
    ),
    "set: a protocol on a port that is not FOU": change(
        u8("A_PORT_FOU_PROTOCOL", 4), EINVAL, "only a FOU port has a protocol", "A_PORT_FOU_PROTOCOL"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(netlink: RawNetlink, name: str) -> None:
    REFUSED[name].check(netlink)


def test_a_command_that_is_none(netlink: RawNetlink) -> None:
    before = netlink.state()
    for command in (0, n("CMD_PORT_ADD_NTF"), n("CMD_CONTROL_NTF"), n("CMD_CONTROL_NTF") + 1, 255):
        with pytest.raises(OSError, match="not supported") as caught:
            netlink.ask(command, key(7))
        assert caught.value.errno == EOPNOTSUPP
    assert netlink.state() == before


@pytest.mark.parametrize("local", ["", V4])
@pytest.mark.parametrize("bound", ["0.0.0.0", V4])
def test_another_socket_has_the_port(netlink: RawNetlink, host: Host, bound: str, local: str) -> None:
    with host.udp(bound, 6200):
        add(key(6200, 4, local), EADDRINUSE, "another socket has this port", "A_PORT_PORT").check(netlink)
    netlink.do("PORT_ADD", key(6200, 4, local))
    with pytest.raises(OSError, match="in use"):
        host.udp(bound, 6200)
    netlink.do("PORT_DEL", key(6200, 4, local))
    host.udp(bound, 6200).close()


def test_another_socket_and_a_port_of_ours_elsewhere(netlink: RawNetlink, host: Host) -> None:
    """A port of the same number that is not in the way is not blamed."""
    netlink.do("PORT_ADD", key(6201, 4, V4))
    with host.udp("127.0.0.1", 6201):
        add(key(6201, 4, "127.0.0.1"), EADDRINUSE, "another socket has this port", "A_PORT_PORT").check(netlink)
    netlink.do("PORT_DEL", key(6201, 4, V4))


def test_what_does_not_overlap_stands_side_by_side(netlink: RawNetlink, host: Host) -> None:
    """One number: two addresses of IPv4, and of IPv6; any address of either family; an address on a device, and on another."""
    devices = {name: number for number, name in host.call(socket.if_nameindex)}
    sets = [
        [key(6202, 4, V4), key(6202, 4, "127.0.0.1"), key(6202, 6, V6), key(6202, 6, "::1")],
        [key(6202), key(6202, 6)],
        [key(6202, 4, V4, devices["eth0"]), key(6202, 4, V4, devices["lo"]), key(6202, 6, V6, devices["eth0"])],
    ]
    before = netlink.state()
    for keys in sets:
        for one in keys:
            netlink.do("PORT_ADD", one)
        assert len(netlink.state()) == len(before) + len(keys)
        for one in keys:
            assert netlink.do("PORT_GET", one)
            netlink.do("PORT_DEL", one)
    assert netlink.state() == before


# Limits


@pytest.fixture
def parameter() -> Iterator[Callable[[str, int], None]]:
    """Sets a parameter of the module until the end of the test."""
    old: dict[str, str] = {}

    def set_it(name: str, value: int) -> None:
        old.setdefault(name, (PARAMETERS / name).read_text())
        (PARAMETERS / name).write_text(str(value))

    yield set_it
    for name, value in old.items():
        (PARAMETERS / name).write_text(value)


def test_max_ports(netlink: RawNetlink, parameter: Callable[[str, int], None]) -> None:
    have = len(netlink.dump("PORT_GET"))
    parameter("max_ports", have + 1)
    netlink.do("PORT_ADD", key(6300))
    add(key(6301), ENOSPC, "more ports than the parameter max_ports allows").check(netlink)
    add(key(6300), EEXIST, "this port is there already", "A_PORT_PORT").check(netlink)
    netlink.do("PORT_DEL", key(6300))
    netlink.do("PORT_ADD", key(6301))
    netlink.do("PORT_DEL", key(6301))


def test_max_sources(netlink: RawNetlink, parameter: Callable[[str, int], None]) -> None:
    parameter("max_sources", 3)
    sources = [source(f"10.{number}.0.0/16") for number in range(5)]
    too_many = (ENOSPC, "more sources than the parameter max_sources allows")
    add(key(6302) + b"".join(sources[:4]), *too_many).check(netlink)
    netlink.do("PORT_ADD", key(6302), *sources[:3])
    set_it = Refusal("PORT_SET", key(6302) + sources[3], *too_many)
    set_it.check(netlink)
    netlink.do("PORT_SET", key(6302), sources[0])  # there already: none more
    netlink.do("PORT_SET", key(6302), sources[3], source("10.0.0.0/16", "A_PORT_SOURCE_DEL"))
    set_it = Refusal("PORT_SET", key(6302) + sources[0], *too_many)
    set_it.check(netlink)
    netlink.do("PORT_DEL", key(6302))


def test_a_get_that_does_not_fit(netlink: RawNetlink) -> None:
    """A port with more sources than a message takes says so; the dump has it."""
    netlink.do("PORT_ADD", key(6303), *(source(f"10.0.{number}.0/32") for number in range(256)))
    assert len([a for a in netlink.do("PORT_GET", key(6303))[0].attributes if a[0] == n("A_PORT_SOURCE")]) == 256
    netlink.do("PORT_SET", key(6303), source("10.1.0.0/32"))
    Refusal("PORT_GET", key(6303), EMSGSIZE, "the port has more sources than one message takes: dump it").check(netlink)
    netlink.do("PORT_DEL", key(6303))
