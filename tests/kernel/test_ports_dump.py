# SPDX-License-Identifier: Apache-2.0
"""Ports as the kernel tells of them: dumps in parts, filters, round trips, events, one namespace beside another.

    namespaces with nothing but lo; raw netlink alone
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from errno import EAFNOSUPPORT, EINVAL

import pytest
import rawnl
from net import Host, Net
from rawnl import NLM_F_DUMP, NLM_F_DUMP_INTR, Message, RawNetlink, attr, key, n, source, split, u8, u32

REPLACE = u32("A_PORT_FLAGS", 1)
ANY = u8("A_PORT_ANY_SOURCE", 1)


@pytest.fixture
def host(net: Net, gutless: None) -> Host:
    return net.host("dump")


@pytest.fixture
def netlink(host: Host) -> Iterator[RawNetlink]:
    made = host.call(RawNetlink)
    yield made
    made.close()


def numbers_of(messages: list[Message]) -> list[int]:
    """Port numbers, message by message."""
    return [struct.unpack("!H", message.first("A_PORT_PORT") or b"")[0] for message in messages]


def sources_of(messages: list[Message]) -> list[bytes]:
    return [data for message in messages for kind, data in message.attributes if kind == n("A_PORT_SOURCE")]


class Parts:
    """A dump taken part by part, so that things can happen in between."""

    def __init__(self, netlink: RawNetlink, body: bytes = b"") -> None:
        self.netlink = netlink
        self.request = netlink.send(n("CMD_PORT_GET"), body, NLM_F_DUMP)
        netlink.over = False

    def __iter__(self) -> Iterator[list[Message]]:
        while not self.netlink.over:
            found = self.netlink.parts(self.request)
            if found:
                yield found


def test_600_ports(netlink: RawNetlink) -> None:
    """All of them, each once, in the order of their making, in several parts, and the same again."""
    for number in range(10000, 10300):
        netlink.do("PORT_ADD", key(number), source("192.0.2.0/24"))
        netlink.do("PORT_ADD", key(number, 6), source("2001:db8::/32"))
    parts = list(Parts(netlink))
    assert len(parts) > 3, "the dump must come in parts for this test to say anything"
    found = [message for part in parts for message in part]
    assert numbers_of(found) == [number for number in range(10000, 10300) for _ in (4, 6)]
    assert [message.first("A_PORT_FAMILY") for message in found] == [b"\x02", b"\x0a"] * 300
    assert not any(message.flags & NLM_F_DUMP_INTR for message in found)
    six = netlink.dump("PORT_GET", u8("A_PORT_FAMILY", socket.AF_INET6))
    assert numbers_of(six) == list(range(10000, 10300))
    info = netlink.do("INFO_GET")[0]
    assert info.first("A_INFO_PORTS") == struct.pack("=I", 600)


def test_changes_between_the_parts_of_a_dump(netlink: RawNetlink, host: Host) -> None:
    """What is there all the time is told once; the dump says that it was interrupted; nothing gone comes twice."""
    other = host.call(RawNetlink)
    stays = [number for number in range(10000, 10600) if number % 3]
    for number in range(10000, 10600):
        netlink.do("PORT_ADD", key(number), ANY)
    rng = random.Random(1)
    goes = [number for number in range(10000, 10600) if number % 3 == 0]
    rng.shuffle(goes)
    new = iter(range(20000, 21000))
    seen: list[int] = []
    interrupted = False
    for part in Parts(netlink):
        seen += numbers_of(part)
        interrupted = interrupted or any(message.flags & NLM_F_DUMP_INTR for message in part)
        for _ in range(10):
            if goes:
                other.do("PORT_DEL", key(goes.pop()))
            other.do("PORT_ADD", key(next(new)), ANY)
        other.do("PORT_DEL", key(seen[-1]))  # the one a part ended with
        if seen[-1] in stays:
            stays.remove(seen[-1])
        if seen[-1] in goes:
            goes.remove(seen[-1])
    assert interrupted
    assert len(seen) == len(set(seen)), "a port was told twice"
    assert set(stays) <= set(seen)
    other.close()


@pytest.mark.parametrize("family", [4, 6])
def test_3000_sources_round_trip(netlink: RawNetlink, family: int) -> None:
    """Given in any order, told in several messages with the key in each, and the port beside it as it is."""
    prefixes = [f"10.{i >> 8}.{i & 255}.0/24" for i in range(3000)]
    if family == 6:
        prefixes = [f"2001:db8:{i:x}::/48" for i in range(3000)]
    random.Random(2).shuffle(prefixes)
    netlink.do("PORT_ADD", key(6000, family), ANY)
    netlink.do("PORT_ADD", key(6001, family))
    for at in range(0, 3000, 1000):
        netlink.do("PORT_SET", key(6001, family), *map(source, prefixes[at : at + 1000]))
    netlink.do("PORT_ADD", key(6002, family), source(prefixes[0]))
    found = netlink.dump("PORT_GET")
    of_it = [message for message in found if numbers_of([message]) == [6001]]
    told = sources_of(of_it)
    assert len(told) == 3000
    assert set(told) == {source(prefix)[4:] for prefix in prefixes}
    assert len(of_it) > 1
    assert numbers_of(found) == [6000, *[6001] * len(of_it), 6002]
    for message in of_it[1:]:
        assert {kind for kind, _ in message.attributes} == {n("A_PORT_FAMILY"), n("A_PORT_PORT"), n("A_PORT_SOURCE")}
    netlink.do("PORT_SET", key(6001, family), *(source(prefix, "A_PORT_SOURCE_DEL") for prefix in prefixes[:1000]))
    assert set(sources_of(netlink.dump("PORT_GET", key(6001, family)))) == {source(p)[4:] for p in prefixes[1000:]}


@pytest.mark.parametrize("what", ["fewer", "deleted", "again", "more"])
def test_a_port_that_changes_between_the_messages_of_its_sources(netlink: RawNetlink, host: Host, what: str) -> None:
    """The kernel is a part ahead of who reads: three parts at least, or nothing would be seen to change."""
    other = host.call(RawNetlink)
    sources = [source(f"2001:db8:{i:x}::/48") for i in range(3000)]
    netlink.do("PORT_ADD", key(6001, 6), *sources)
    netlink.do("PORT_ADD", key(6002), source("192.0.2.0/24"))
    told: list[Message] = []
    interrupted = False
    for number, part in enumerate(Parts(netlink)):
        told += part
        interrupted = interrupted or any(message.flags & NLM_F_DUMP_INTR for message in part)
        if number == 0:
            assert numbers_of(told) == [6001]
            assert len(sources_of(told)) < 3000
            if what == "fewer":
                other.do("PORT_SET", key(6001, 6), REPLACE, *sources[:3])
            elif what == "more":
                other.do("PORT_SET", key(6001, 6), *(source(f"2001:db9:{i:x}::/48") for i in range(2000)))
            else:
                other.do("PORT_DEL", key(6001, 6))
            if what == "again":
                other.do("PORT_ADD", key(6001, 6), *sources[:3])
    assert interrupted
    assert number >= 2
    assert numbers_of(told).count(6002) == 1
    if what == "again":
        # a new port of the same name is told in full
        assert sources_of(told)[-3:] == [data[4:] for data in sources[:3]]
    other.close()


def test_filters(netlink: RawNetlink) -> None:
    keys = [key(7), key(8), key(7, 6), key(9, 4, "127.0.0.1"), key(9, 4, "127.0.0.2"), key(9, 6, "::1")]
    for one in keys:
        netlink.do("PORT_ADD", one)
    assert numbers_of(netlink.dump("PORT_GET")) == [7, 8, 7, 9, 9, 9]
    assert numbers_of(netlink.dump("PORT_GET", u8("A_PORT_FAMILY", socket.AF_INET))) == [7, 8, 9, 9]
    assert numbers_of(netlink.dump("PORT_GET", u8("A_PORT_FAMILY", socket.AF_INET6))) == [7, 9]
    for one in keys:
        (only,) = netlink.dump("PORT_GET", one)
        assert only.attributes == netlink.do("PORT_GET", one)[0].attributes
        assert [attr(kind, data) for kind, data in only.attributes][: len(split(one))] == [attr(*a) for a in split(one)]
    assert netlink.dump("PORT_GET", key(9)) == []
    assert netlink.dump("PORT_GET", key(8, 6)) == []
    for half in (
        attr(n("A_PORT_LOCAL_V4"), b"\x7f\0\0\1"),
        attr(n("A_PORT_LOCAL_V6"), bytes(16)),
        u32("A_PORT_IFINDEX", 1),
        key(0),
        u8("A_PORT_FAMILY", 99),
        key(7) + attr(n("A_PORT_LOCAL_V6"), bytes(16)),
        key(7) + ANY,
        attr(99),
    ):
        with pytest.raises(rawnl.Refused) as caught:
            netlink.dump("PORT_GET", half)
        # no sentence: 6.1's core gives a dump that begins no way to say one
        assert caught.value.errno in (EINVAL, EAFNOSUPPORT)


def test_every_setting_round_trips(netlink: RawNetlink) -> None:
    """What is told of a port is what was asked for, all settings away from their defaults and back."""
    inner = bytes(range(1, 256))
    asked = u32("A_PORT_ACCEPT", 0xA) + attr(n("A_PORT_INNER"), inner) + ANY
    asked += u8("A_PORT_ZERO_CSUM6", 1) + u8("A_PORT_ORIGIN", 1) + source("2001:db8::/32") + source("::/1")
    netlink.do("PORT_ADD", key(5000, 6, "::1", 1), asked)
    told = netlink.do("PORT_GET", key(5000, 6, "::1", 1))[0]
    assert told.first("A_PORT_IFINDEX") == struct.pack("=I", 1)
    assert told.first("A_PORT_LOCAL_V6") == bytes(15) + b"\1"
    settings = {kind: data for kind, data in told.attributes if kind != n("A_PORT_SOURCE")}
    for kind, data in split(asked):
        if kind != n("A_PORT_SOURCE"):
            assert settings[kind] == data
    assert set(sources_of([told])) == {source("2001:db8::/32")[4:], source("::/1")[4:]}
    assert n("A_PORT_FOU_PROTOCOL") not in settings
    stats = dict(split(told.first("A_PORT_STATS") or b""))
    stats.pop(n("A_RX_PAD"), None)
    assert set(stats) == set(rawnl.reasons())
    assert set(stats.values()) == {bytes(8)}

    back = u32("A_PORT_ACCEPT", 0x4) + attr(n("A_PORT_INNER"), b"\x04") + u8("A_PORT_ANY_SOURCE", 0)
    back += u8("A_PORT_ZERO_CSUM6", 0) + u8("A_PORT_ORIGIN", 0)
    netlink.do("PORT_SET", key(5000, 6, "::1", 1), back, REPLACE)
    settings = dict(netlink.do("PORT_GET", key(5000, 6, "::1", 1))[0].attributes)
    assert n("A_PORT_SOURCE") not in settings
    for kind, data in split(back):
        assert settings[kind] == data


def test_defaults(netlink: RawNetlink) -> None:
    netlink.do("PORT_ADD", rawnl.be16("A_PORT_PORT", 5001))
    netlink.do("PORT_ADD", key(5002), u32("A_PORT_ACCEPT", 1), u8("A_PORT_FOU_PROTOCOL", 47))
    other, fou = (dict(message.attributes) for message in netlink.dump("PORT_GET"))
    assert other[n("A_PORT_FAMILY")] == b"\x02"
    assert other[n("A_PORT_ACCEPT")] == struct.pack("=I", 0b1110)
    assert other[n("A_PORT_INNER")] == bytes((4, 41, 47, 143))
    assert other[n("A_PORT_ANY_SOURCE")] == other[n("A_PORT_ZERO_CSUM6")] == other[n("A_PORT_ORIGIN")] == b"\0"
    assert fou[n("A_PORT_INNER")] == fou[n("A_PORT_FOU_PROTOCOL")] == b"\x2f"


def listen(host: Host, netlink: RawNetlink) -> socket.socket:
    """A socket that gets the family's events."""
    body = attr(rawnl.CTRL_FAMILY_NAME, b"gutless\0")
    reply = netlink.ask(rawnl.CTRL_CMD_GETFAMILY, body, family=rawnl.GENL_ID_CTRL)
    groups = next(data for kind, data in reply[0].attributes if kind == 7)
    group = dict(split(split(groups)[0][1]))
    assert group[1] == b"events\0"
    made = host.socket(socket.AF_NETLINK, socket.SOCK_RAW, rawnl.NETLINK_GENERIC)
    made.bind((0, 0))
    made.setsockopt(rawnl.SOL_NETLINK, 1, struct.unpack("=I", group[2])[0])
    made.settimeout(3)
    return made


def test_events(netlink: RawNetlink, host: Host) -> None:
    """Each change tells of itself once, with the record as it then is; what is refused tells nothing."""
    events = listen(host, netlink)

    def event() -> Message:
        data = events.recv(1 << 16)
        return Message(data[16], split(data[20:]), 0)

    netlink.do("PORT_ADD", key(5003), source("192.0.2.0/24"))
    told = event()
    assert told.command == n("CMD_PORT_ADD_NTF")
    assert told.attributes == netlink.do("PORT_GET", key(5003))[0].attributes
    netlink.do("PORT_SET", key(5003), ANY, source("10.0.0.0/8"))
    told = event()
    assert told.command == n("CMD_PORT_SET_NTF")
    assert told.attributes == netlink.do("PORT_GET", key(5003))[0].attributes
    for command, body in (
        ("PORT_ADD", key(5003)),
        ("PORT_SET", key(5004)),
        ("PORT_SET", key(5003) + source("1.2.3.4/31", "A_PORT_SOURCE_DEL")),
        ("PORT_DEL", key(5004)),
    ):
        with pytest.raises(rawnl.Refused):
            netlink.do(command, body)
    netlink.do("PORT_DEL", key(5003))
    told = event()
    assert told.command == n("CMD_PORT_DEL_NTF"), "nothing was told of what was refused"
    assert set(sources_of([told])) == {source("192.0.2.0/24")[4:], source("10.0.0.0/8")[4:]}
    netlink.do("PROFILE_ADD", u8("A_PROFILE_FORMAT", 1))
    netlink.do("PROFILE_SET", rawnl.u16("A_PROFILE_NUMBER", 1), u8("A_PROFILE_CSUM", 2))
    netlink.do("PROFILE_DEL", rawnl.u16("A_PROFILE_NUMBER", 1))
    told_of = [event() for _ in range(3)]
    assert [m.command for m in told_of] == [n(f"CMD_PROFILE_{what}_NTF") for what in ("ADD", "SET", "DEL")]
    assert [m.first("A_PROFILE_CSUM") for m in told_of] == [b"\1", b"\2", b"\2"]
    events.settimeout(0.05)
    with pytest.raises(TimeoutError):
        events.recv(1 << 16)
    events.close()


def test_namespaces_know_nothing_of_each_other(net: Net, netlink: RawNetlink, host: Host) -> None:
    """One port twice: other settings, other counters, other events; that of one goes and the other stays."""
    neighbour = net.host("other")
    beside = neighbour.call(RawNetlink)
    events = listen(neighbour, beside)
    netlink.do("PORT_ADD", key(6080), ANY)
    beside.do("PORT_ADD", key(6080), source("127.0.0.0/8"))
    events.recv(1 << 16)
    with host.udp("127.0.0.1") as sender:
        sender.sendto(b"\xff", ("127.0.0.1", 6080))
    with neighbour.udp("127.0.0.1") as sender:
        sender.sendto(b"\x20\0\0\0", ("127.0.0.1", 6080))
        sender.sendto(b"\x20\0\0\0", ("127.0.0.1", 6080))
    mine = {name: count for name, count in netlink.counters(key(6080)).items() if count}
    theirs = {name: count for name, count in beside.counters(key(6080)).items() if count}
    assert (mine, theirs) == ({"variant": 1}, {"control": 2})
    netlink.do("PORT_DEL", key(6080))
    assert netlink.dump("PORT_GET") == []
    assert numbers_of(beside.dump("PORT_GET")) == [6080]
    events.settimeout(0.05)
    with pytest.raises(TimeoutError):
        events.recv(1 << 16)
    events.close()
    beside.close()


def test_the_initial_namespace_is_one_like_others(gutless: None) -> None:
    netlink = RawNetlink()
    netlink.do("PORT_ADD", key(6080, 4, "127.0.0.1"), ANY)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"\xff", ("127.0.0.1", 6080))
    assert netlink.counters(key(6080, 4, "127.0.0.1"))["variant"] == 1
    with pytest.raises(rawnl.Refused) as caught:
        netlink.do("PORT_ADD", key(0))
    assert caught.value.errno == EINVAL
    netlink.do("PORT_DEL", key(6080, 4, "127.0.0.1"))
    netlink.close()
