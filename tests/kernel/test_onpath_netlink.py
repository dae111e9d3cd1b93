# SPDX-License-Identifier: Apache-2.0
"""Devices on the path over netlink: every refusal, round trips, events, and what goes when a device goes.

    a namespace with devices of kind dummy; another one to which a device moves
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from errno import EINVAL, ENODEV, ERANGE

import pytest
from net import Host, Net
from onpath import counters
from rawnl import NLM_F_DUMP, NLM_F_DUMP_INTR, RawNetlink, attr, n, u16, u32
from refusals import Refusal

from gutctl.model import OnPath
from gutctl.netlink import Event, EventStream, Kernel

DEVICES = 100
SECONDS = 60
ON = u32("A_DEVICE_ONPATH", 1)
OFF = u32("A_DEVICE_ONPATH", 0)


def device(ifindex: int) -> bytes:
    return u32("A_DEVICE_IFINDEX", ifindex)


def ports(*numbers: int) -> bytes:
    return attr(n("A_DEVICE_PORTS"), struct.pack(f"!{len(numbers)}H", *numbers))


@pytest.fixture
def host(net: Net, gutless: None) -> Host:
    made = net.host("devices")
    made.ip("link add d0 type dummy", "link add d1 type dummy")
    return made


@pytest.fixture
def netlink(host: Host) -> Iterator[RawNetlink]:
    made = host.call(RawNetlink)
    yield made
    made.close()


def number(host: Host, name: str) -> int:
    return host.call(socket.if_nametoindex, name)


def told(netlink: RawNetlink, ifindex: int) -> tuple[int, tuple[int, ...]]:
    """What a device does, and the ports it looks at."""
    (message,) = netlink.do("DEVICE_GET", device(ifindex))
    assert message.first("A_DEVICE_IFINDEX") == struct.pack("=I", ifindex)
    octets = message.first("A_DEVICE_PORTS") or b""
    return struct.unpack("=I", message.first("A_DEVICE_ONPATH") or b"")[0], struct.unpack(f"!{len(octets) // 2}H", octets)


NOTHING = (EINVAL, "a device that does nothing on the path has no ports", "A_DEVICE_PORTS")
TWO = (EINVAL, "ports are one number or more of two octets", "A_DEVICE_PORTS")
LENGTH = (EINVAL, "invalid attribute length")
GONE = (ENODEV, "no such device", "A_DEVICE_IFINDEX")
LO = device(1)

REFUSED: dict[str, Refusal] = {
    "no device": Refusal("DEVICE_SET", ON, EINVAL, "the device's number is missing"),
    "no device to get": Refusal("DEVICE_GET", b"", EINVAL, "the device's number is missing"),
    "absent": Refusal("DEVICE_SET", device(999) + ON, *GONE),
    "absent, off": Refusal("DEVICE_SET", device(999) + OFF, *GONE),
    "get absent": Refusal("DEVICE_GET", device(999), *GONE),
    "device 0": Refusal("DEVICE_SET", device(0) + ON, *GONE),
    "device of 2^31": Refusal("DEVICE_SET", device(1 << 31) + ON, *GONE),
    "device of all bits": Refusal("DEVICE_GET", device(0xFFFFFFFF), *GONE),
    "unknown bit": Refusal("DEVICE_SET", LO + u32("A_DEVICE_ONPATH", 2), EINVAL, "reserved bit set", "A_DEVICE_ONPATH"),
    "unknown bit too": Refusal("DEVICE_SET", LO + u32("A_DEVICE_ONPATH", 1 << 31 | 1), EINVAL, "reserved bit set", "A_DEVICE_ONPATH"),
    "ports of nothing": Refusal("DEVICE_SET", LO + ports(6080), *NOTHING),
    "ports and off": Refusal("DEVICE_SET", LO + OFF + ports(6080), *NOTHING),
    "no ports": Refusal("DEVICE_SET", LO + ON + ports(), *TWO),
    "half a port": Refusal("DEVICE_SET", LO + ON + attr(n("A_DEVICE_PORTS"), b"\x17"), *TWO),
    "a port and a half": Refusal("DEVICE_SET", LO + ON + attr(n("A_DEVICE_PORTS"), b"\x17\xc0\x17"), *TWO),
    "nine ports": Refusal("DEVICE_SET", LO + ON + ports(*range(1, 10)), ERANGE, "Attribute failed policy validation", "A_DEVICE_PORTS"),
    "port 0": Refusal("DEVICE_SET", LO + ON + ports(6080, 0), EINVAL, "port 0 is no port", "A_DEVICE_PORTS"),
    "twice": Refusal("DEVICE_SET", LO + ON + ports(1, 2, 3, 1), EINVAL, "a port is there twice", "A_DEVICE_PORTS"),
    "stats": Refusal("DEVICE_SET", LO + ON + attr(n("A_DEVICE_STATS") | 0x8000), EINVAL, "Unsupported attribute", "A_DEVICE_STATS"),
    "get with more": Refusal("DEVICE_GET", LO + ON, EINVAL, "Unsupported attribute", "A_DEVICE_ONPATH"),
    "unknown": Refusal("DEVICE_SET", LO + ON + attr(5), EINVAL, "Unknown attribute type", 5),
    "device of 2 octets": Refusal("DEVICE_SET", u16("A_DEVICE_IFINDEX", 1) + ON, *LENGTH, "A_DEVICE_IFINDEX"),
    "onpath of 2 octets": Refusal("DEVICE_SET", LO + u16("A_DEVICE_ONPATH", 1), *LENGTH, "A_DEVICE_ONPATH"),
}


@pytest.fixture(scope="module")
def busy(module_net: Net, gutless: None) -> Iterator[RawNetlink]:
    """Two devices are on, of which refused requests must change neither; lo is off."""
    made = module_net.host("refused")
    made.ip("link add d0 type dummy", "link add d1 type dummy")
    door = made.call(RawNetlink)
    door.do("DEVICE_SET", device(number(made, "d0")), ON)
    door.do("DEVICE_SET", device(number(made, "d1")), ON, ports(7, 8))
    yield door
    door.close()


@pytest.mark.parametrize("name", REFUSED)
def test_refused(busy: RawNetlink, name: str) -> None:
    before = len(busy.dump("DEVICE_GET"))
    REFUSED[name].check(busy)
    assert len(busy.dump("DEVICE_GET")) == before == 2


def test_refused_of_one_that_is_on(host: Host, netlink: RawNetlink) -> None:
    """A change that cannot be leaves what was there."""
    ifindex = number(host, "d0")
    netlink.do("DEVICE_SET", device(ifindex), ON, ports(5, 6))
    for body in (ports(0), OFF + ports(7), ON + ports(7, 7), ports()):
        with pytest.raises(OSError, match="Invalid argument"):
            netlink.do("DEVICE_SET", device(ifindex), body)
        assert told(netlink, ifindex) == (1, (5, 6))


def test_round_trip(host: Host, netlink: RawNetlink) -> None:
    first, second = number(host, "d0"), number(host, "d1")
    assert told(netlink, first) == (0, ())
    assert netlink.dump("DEVICE_GET") == []
    netlink.do("DEVICE_SET", device(first), OFF)
    assert told(netlink, first) == (0, ())
    netlink.do("DEVICE_SET", device(first), ON)
    assert told(netlink, first) == (1, (6080,))
    assert set(counters(netlink, first).values()) == {0}
    netlink.do("DEVICE_SET", device(first), ports(*range(65528, 65536)))
    assert told(netlink, first) == (1, tuple(range(65528, 65536)))
    netlink.do("DEVICE_SET", device(first), ON)
    assert told(netlink, first) == (1, tuple(range(65528, 65536))), "what is absent stays"
    netlink.do("DEVICE_SET", device(second), ON, ports(1))
    assert told(netlink, first) == (1, tuple(range(65528, 65536)))
    assert [m.first("A_DEVICE_IFINDEX") for m in netlink.dump("DEVICE_GET")] == [struct.pack("=I", i) for i in (first, second)]
    netlink.do("DEVICE_SET", device(first), OFF)
    netlink.do("DEVICE_SET", device(first), ON)
    assert told(netlink, first) == (1, (6080,)), "off forgets"
    netlink.do("DEVICE_SET", device(first), OFF)
    netlink.do("DEVICE_SET", device(second), OFF)
    assert netlink.dump("DEVICE_GET") == []


def test_it_goes_with_its_device(host: Host, net: Net, netlink: RawNetlink) -> None:
    """Deleted, or moved to another namespace, where it does nothing; one of the same number made anew does nothing."""
    other = net.host("other")
    first, second = number(host, "d0"), number(host, "d1")
    for ifindex in (first, second):
        netlink.do("DEVICE_SET", device(ifindex), ON, ports(9))
    host.ip("link del d0", f"link add d0 index {first} type dummy")
    assert told(netlink, first) == (0, ())
    host.ip(f"link set d1 netns {other.name}")
    assert netlink.dump("DEVICE_GET") == []
    there = other.call(RawNetlink)
    assert told(there, number(other, "d1")) == (0, ())
    there.do("DEVICE_SET", device(number(other, "d1")), ON)
    there.close()


def test_a_dump_of_many(net: Net, gutless: None) -> None:
    """In parts, each device once; a change between parts is said. The kernel makes one part ahead: three are needed."""
    host = net.host("many")
    host.ip(*(f"link add d{number} type dummy" for number in range(DEVICES)))
    reader, writer = host.call(RawNetlink, 4096), host.call(RawNetlink)
    numbers = [number(host, f"d{name}") for name in range(DEVICES)]
    for ifindex in numbers:
        writer.do("DEVICE_SET", device(ifindex), ON)
    assert [struct.unpack("=I", m.first("A_DEVICE_IFINDEX") or b"")[0] for m in reader.dump("DEVICE_GET")] == numbers
    request = reader.send(n("CMD_DEVICE_GET"), b"", NLM_F_DUMP)
    reader.over = False
    seen: list[int] = []
    interrupted = False
    while not reader.over:
        for message in reader.parts(request):
            seen.append(struct.unpack("=I", message.first("A_DEVICE_IFINDEX") or b"")[0])
            interrupted = interrupted or bool(message.flags & NLM_F_DUMP_INTR)
        writer.do("DEVICE_SET", device(seen[0]), OFF)
    assert interrupted, "the dump came in one part, or nothing was said of the changes"
    assert seen == numbers
    reader.close()
    writer.close()


def take(stream: EventStream, count: int) -> list[tuple[str, str, object]]:
    """That many events; fails, instead of waiting for ever, when they do not come."""
    late = threading.Timer(SECONDS, stream.close)
    late.start()
    try:
        found = [event for _, event in zip(range(count), stream, strict=False)]
    finally:
        late.cancel()
    assert len(found) == count, f"only {len(found)} of {count} events came: {found}"
    return [(event.kind, event.action, event.record) for event in found if isinstance(event, Event)]


def test_events_and_the_tools_door(host: Host) -> None:
    """One for each change, by whomever; none for what changes nothing."""
    with Kernel(host.name) as kernel:
        stream = kernel.events()
        first, second = kernel.device("d0"), kernel.device("d1")
        assert kernel.onpath(first) == OnPath(first)
        kernel.onpath_set(second, min_path_mtu=False)
        kernel.onpath_set(first, min_path_mtu=True)
        kernel.onpath_set(first, ports=[7, 8])
        kernel.onpath_set(second, min_path_mtu=True, ports=[6080])
        assert kernel.onpaths() == [OnPath(first, True, (7, 8)), OnPath(second, True, (6080,))]
        assert set(kernel.onpath(first).stats.left) == {
            *("enough", "no-check", "no-option", "malformed", "merged", "no-memory", "fragment")
        }
        kernel.onpath_set(first, min_path_mtu=False)
        host.ip("link del d1")
        assert kernel.onpaths() == []
        assert take(stream, 5) == [
            ("device", "set", OnPath(first, True, (6080,))),
            ("device", "set", OnPath(first, True, (7, 8))),
            ("device", "set", OnPath(second, True, (6080,))),
            ("device", "del", OnPath(first, True, (7, 8))),
            ("device", "del", OnPath(second, True, (6080,))),
        ]


def test_namespaces_that_go(net: Net, gutless: None) -> None:
    """With devices that are on: those of the namespace go with it, a real one would go home."""
    for _ in range(3):
        gone = Net()
        host = gone.host("gone")
        host.ip("link add d0 type dummy")
        door = host.call(RawNetlink)
        door.do("DEVICE_SET", device(number(host, "d0")), ON)
        door.do("DEVICE_SET", device(1), ON)
        door.close()
        gone.close()


def test_the_module_goes(net: Net, host: Host, netlink: RawNetlink) -> None:
    """While devices are on, and while packets pass: see the churn of the debug ring."""
    for name in ("d0", "d1"):
        netlink.do("DEVICE_SET", device(number(host, name)), ON)
    netlink.close()
    import modules

    modules.unload()
    modules.load()
    again = host.call(RawNetlink)
    assert again.dump("DEVICE_GET") == []
    again.close()
