# SPDX-License-Identifier: Apache-2.0
"""5,000 ports, 1,000 tunnels, 250 profiles: nothing lost, nothing told twice, and no request more for each of them.

    many eth0 ---- eth0 beside        1,000 tunnels, 250 profiles
    open (lo only)                    5,000 ports

Made once for this file. A dump is interrupted between its parts, by the thread that reads it: the tool must ask
again. Requests are counted where they go to the kernel; times are printed (`ARGS=-s`) and decide nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, Self

import pytest
from net import Host, Net
from rawnl import RawNetlink, key, u8, u16
from tool import gutctl, ok

from gutctl._nl import sockets
from gutctl._nl.sockets import DUMP, Door
from gutctl.alias import Alias
from gutctl.model import Link, PortKey
from gutctl.netlink import Kernel

PORTS, TUNNELS, PROFILES = 5000, 1000, 250
FIRST = 10000
LOCAL: dict[int, IPv4Address | IPv6Address] = {4: IPv4Address("198.51.100.1"), 6: IPv6Address("2001:db8::1")}
KINDS = ("sit", "ip6tnl", "ipip")
PROTOCOL = {"sit": 0, "ip6tnl": 0, "ipip": 4}


def port_keys() -> list[PortKey]:
    """Half of them IPv4, half IPv6, in the order in which they are told."""
    return [PortKey(family, FIRST + number) for family in (4, 6) for number in range(PORTS // 2)]


def remote(kind: str, number: int) -> IPv4Address | IPv6Address:
    if kind == "ip6tnl":
        return IPv6Address(int(IPv6Address("2001:db8::1:0")) + number)
    return IPv4Address(int(IPv4Address("198.18.0.1")) + number)


def tunnel(number: int, encap: int = 0) -> Link:
    """Number so-and-so: of three kinds, every fourth with a profile; ``encap`` 1 and 2: the in-tree module's."""
    kind = KINDS[number % 3]
    profile = 0 if number % 4 else number % PROFILES + 1
    there = remote(kind, number)
    return Link(
        name=f"t{number}", kind=kind, local=LOCAL[there.version], remote=there,
        encap_type=encap or 4, encap_flags=1 if encap else profile << 3 | (1 if there.version == 4 else 2),
        encap_sport=0, encap_dport=6080, protocol=PROTOCOL[kind], ttl=64, mtu=1400,
        alias=Alias(FIRST + number, frozenset({ip_network(there)})).encode(),
    )  # fmt: skip


def profile(number: int) -> bytes:
    """A request for it: GUT-less from a range of source ports of its own."""
    made = u16("A_PROFILE_NUMBER", number) + u8("A_PROFILE_FORMAT", 3)
    return made + u16("A_PROFILE_SPORT_MIN", 50000) + u16("A_PROFILE_SPORT_MAX", 50000 + number)


class Many:
    """The namespaces and what is in them."""

    def __init__(self, net: Net) -> None:
        self.host: Host = net.host("many")
        self.open: Host = net.host("open")
        ends = (["198.51.100.1/24", "2001:db8::1/64"], ["198.51.100.2/24", "2001:db8::2/64"])
        net.link(self.host, net.host("beside"), *ends, names=("eth0", "eth0"))
        self.kernel, self.open_kernel = Kernel(self.host.name), Kernel(self.open.name)
        self.raw: RawNetlink = self.host.call(RawNetlink)
        self.open_raw: RawNetlink = self.open.call(RawNetlink)
        self.seconds: dict[str, float] = {}
        with self._timed(f"{PORTS} ports"):
            for one in port_keys():
                self.open_raw.do("PORT_ADD", key(one.port, one.family), u8("A_PORT_ANY_SOURCE", 1))
        with self._timed(f"{PROFILES} profiles"):
            for number in range(1, PROFILES + 1):
                self.raw.do("PROFILE_ADD", profile(number))
        for first in range(0, TUNNELS, 250):
            with self._timed(f"tunnels {first} to {first + 249}"):
                for number in range(first, first + 250):
                    self.kernel.link_add(tunnel(number))
        print("\nseconds:", {what: round(seconds, 2) for what, seconds in self.seconds.items()})

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[what] = time.monotonic() - started

    def close(self) -> None:
        for one in (self.kernel, self.open_kernel, self.raw, self.open_raw):
            one.close()


@pytest.fixture(scope="module")
def many(module_net: Net, gutless: None) -> Iterator[Many]:
    made = Many(module_net)
    yield made
    made.close()


@contextmanager
def requests() -> Iterator[Counter[str]]:
    """What the tool asks the kernel while the block lasts: "MESSAGE TYPE.COMMAND", dumps with a word before."""
    seen: Counter[str] = Counter()
    original = Door.request

    def counted(self: Door, message: Any, number: int, flags: int, *more: Any, **options: Any) -> Any:
        what = f"{number if number < 32 or number > 80 else 'gutless'}.{message.get('cmd', '-')}"
        what = f"{number}" if number != 16 and number < 100 and message.get("cmd") is None else what
        seen[f"dump {what}" if flags & DUMP == DUMP else what] += 1
        return original(self, message, number, flags, *more, **options)

    sockets.Door.request = counted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        sockets.Door.request = original  # type: ignore[method-assign]


class Disturbed:
    """Changes made between the parts of the first dumps that a Kernel reads; it runs in the thread that reads."""

    def __init__(self, kernel: Kernel, family: str, dumps: int, change: Callable[[int], None]) -> None:
        # in the Kernel's own thread, which stands in the namespace
        door: Door = kernel._run(lambda session: session.gutless._door if family == "gutless" else session.route._door)
        self.parts: list[int] = []
        self._dumps, self._change, self._door, self._once = dumps, change, door, door._once
        self._hear = door.marshal.hear
        door._once = self._counted  # type: ignore[method-assign, assignment]
        door.marshal.hear = self._heard

    def _counted(self, *args: Any) -> Any:
        self.parts.append(0)
        return self._once(*args)

    def _heard(self, data: bytes) -> None:
        self._hear(data)
        self.parts[-1] += 1
        if len(self.parts) <= self._dumps and self.parts[-1] < 4:
            self._change(len(self.parts) * 10 + self.parts[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self._door._once = self._once  # type: ignore[method-assign]
        self._door.marshal.hear = self._hear


def test_ports(many: Many) -> None:
    """Each once, in the order of their numbers, though ports come and go between the parts of the first dump."""

    def change(number: int) -> None:
        many.open_raw.do("PORT_ADD", key(30000 + number), u8("A_PORT_ANY_SOURCE", 1))
        many.open_raw.do("PORT_DEL", key(FIRST + number))
        many.open_raw.do("PORT_ADD", key(FIRST + number), u8("A_PORT_ANY_SOURCE", 1))
        many.open_raw.do("PORT_DEL", key(30000 + number))

    assert many.open_kernel.info().ports == PORTS  # and the family's number is known, so that dumps alone are disturbed
    with Disturbed(many.open_kernel, "gutless", 1, change) as disturbed:
        ports = many.open_kernel.ports()
    assert len(disturbed.parts) == 2
    assert min(disturbed.parts) > 4, "in one part nothing can be interrupted"
    assert [port.key for port in ports] == port_keys()
    assert all(port.any_source and not port.sources for port in ports)


def test_list_of_ports(many: Many) -> None:
    listed = ok(gutctl("port", "list", netns=many.open, json=True)).data["ports"]
    assert [(port["family"], port["port"]) for port in listed] == [(one.family, one.port) for one in port_keys()]


def test_profiles(many: Many) -> None:
    """As ports; two dumps are interrupted."""

    def change(number: int) -> None:
        many.raw.do("PROFILE_DEL", u16("A_PROFILE_NUMBER", number))
        many.raw.do("PROFILE_ADD", profile(number))

    with Disturbed(many.kernel, "gutless", 2, change) as disturbed:
        profiles = many.kernel.profiles()
    assert len(disturbed.parts) == 3
    wanted = list(range(1, PROFILES + 1))
    assert [(one.number, one.source_ports) for one in profiles] == [(n, (50000, 50000 + n)) for n in wanted]
    listed = ok(gutctl("profile", "list", netns=many.host, json=True)).data["profiles"]
    assert [one["number"] for one in listed] == wanted


def test_links(many: Many) -> None:
    """The names of all tunnels once, though one comes and goes between the parts of the first dump."""
    other = Kernel(many.host.name)

    def change(number: int) -> None:
        other.link_add(replace(tunnel(5000), name="passing"))
        other.link_del("passing")

    with Disturbed(many.kernel, "route", 2, change) as disturbed:  # the first dump is that of addresses
        links = many.kernel.links()
    other.close()
    assert len(disturbed.parts) >= 3
    assert sorted(link.name for link in links if link.remote) == sorted(f"t{number}" for number in range(TUNNELS))


def test_list_of_tunnels(many: Many) -> None:
    """Each once, as it was made, without a request for each."""
    with requests() as asked:
        listed = ok(gutctl("tunnel", "list", netns=many.host, json=True)).data["tunnels"]
    assert sorted(one["name"] for one in listed) == sorted(f"t{number}" for number in range(TUNNELS))
    for one in listed:
        made = tunnel(int(one["name"][1:]))
        number = made.encap_flags >> 3
        assert (one["remote"], one["local"], one["mtu"]) == (str(made.remote), str(made.local), 1400)
        assert (one["port"], one["profile"]) == (FIRST + int(one["name"][1:]), number or None)
        assert one["source_ports"] == ([50000, 50000 + number] if number else [49152, 65535])
    assert sum(asked.values()) <= 16, asked


def test_one_more_asks_no_more(many: Many, net: Net) -> None:
    """A tunnel beside 1,000 takes the same requests as one beside none; and so does taking it away."""
    alone = net.host("alone")
    net.link(alone, net.host("peer"), ["198.51.100.1/24"], ["198.51.100.2/24"])
    counts = []
    for host in (alone, many.host):
        took = {}
        for words in (
            ("tunnel", "add", "one", "--remote", "198.51.100.2", "--address", "10.9.0.1/30", "--sport", "40000-40003"),
            ("tunnel", "del", "one"),
        ):
            with requests() as asked:
                ok(gutctl(*words, netns=host))
            took[" ".join(words)] = asked
        counts.append(took)
    assert counts[0] == counts[1]
    assert sum(counts[0]["tunnel del one"].values()) > 4, "the requests are not counted"


def test_links_beside_in_tree(many: Many, net: Net) -> None:
    """How long 50 links take that are made beside others, ours and the in-tree module's. Reported, not judged."""
    host = net.host("intree")
    net.link(host, net.host("peer"), ["198.51.100.1/24", "2001:db8::1/64"], ["198.51.100.2/24", "2001:db8::2/64"])
    took = {}
    with Kernel(host.name) as kernel:
        for what, encap in (("gutless", 4), ("fou", 1)):
            started = time.monotonic()
            for number in range(50):
                kernel.link_add(replace(tunnel(number, encap), name=f"{what}{number}", encap_flags=1, remote=remote(
                    KINDS[number % 3], number + 300 * encap)))  # fmt: skip
            took[what] = round(time.monotonic() - started, 2)
        assert len(kernel.links()) == 100
    print("\nseconds for 50 links:", took)
