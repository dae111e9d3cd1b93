# SPDX-License-Identifier: Apache-2.0
"""Every call of the door against the kernel, each under the newest and the oldest pyroute2 that is supported.

    red                                   blue
  +---------------------+   veth   +---------------------+
  | eth0 192.0.2.1/24   |----------| eth0 192.0.2.2/24   |
  |      2001:db8::1/64 |          |      2001:db8::2/64 |
  +---------------------+          +---------------------+

This file holds what is asked of the family; links, routes and namespaces are in test_netlink_links.py and
test_netlink_netns.py, events and the asynchronous side in test_netlink_events.py.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from net import Host, Net

from gutctl.errors import ConflictError, GutctlError, InUseError, NotFoundError
from gutctl.model import Accept, Csum, Format, Network, Origin, Port, PortKey, Profile
from gutctl.netlink import Kernel

ANY = Port(PortKey(4, 6080), any_source=True)


@pytest.fixture
def host(gutless: None, net: Net) -> Host:
    red, blue = net.host("red"), net.host("blue")
    net.link(red, blue, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"])
    return red


@pytest.fixture
def kernel(host: Host) -> Iterator[Kernel]:
    with Kernel(host.name) as made:
        yield made


def prefixes(*texts: str) -> frozenset[Network]:
    return frozenset(ip_network(text) for text in texts)


def test_info(kernel: Kernel) -> None:
    info = kernel.info()
    assert info.version
    assert {"ipv6", "remcsum", "icmp", "options", "control"} <= info.features
    assert not any(name.startswith("bit") for name in info.features), "each has a name"
    assert (info.encap_bare, info.encap_header, info.max_nesting) == (4, 5, 4)
    assert (info.ports, info.profiles) == (0, 0)
    kernel.port_add(ANY)
    kernel.profile_add(Profile(0, Format.GUE))
    info = kernel.info()
    assert (info.ports, info.profiles) == (1, 1)
    assert min(info.max_ports, info.max_sources, info.max_profiles) > 1
    assert "no-profile" in info.plain.drops


PORTS = [
    ANY,
    Port(PortKey(6, 6080), any_source=True, zero_csum6=True),
    Port(PortKey(4, 6081, ip_address("192.0.2.1")), sources=prefixes("198.51.100.0/24", "0.0.0.0/0")),
    Port(PortKey(6, 6081, ip_address("2001:db8::1")), sources=prefixes("2001:db8::/32", "::/0", "fe80::1/128")),
    Port(PortKey(4, 6082), accept=frozenset({Accept.GUE0}), inner=frozenset({6, 4, 132}), any_source=True),
    Port(PortKey(4, 6083), frozenset({Accept.FOU}), 47, frozenset({47}), True, origin=Origin.TUNNEL),
    Port(PortKey(4, 6084), frozenset({Accept.BARE, Accept.GUTLESS}), sources=prefixes("192.0.2.2/32")),
]


def test_ports_come_back_as_they_were_asked_for(kernel: Kernel) -> None:
    device = kernel.device("eth0")
    bound = Port(PortKey(4, 6085, ip_address("192.0.2.1"), device), any_source=True)
    everything = [*PORTS, bound]
    for port in everything:
        assert kernel.port(port.key) is None
        kernel.port_add(port)
        assert kernel.port(port.key) == port
    by_key = sorted(everything, key=lambda p: (p.key.family, p.key.port))
    assert kernel.ports() == by_key
    for port in everything:
        kernel.port_del(port.key)
        assert kernel.port(port.key) is None
    assert kernel.ports() == []


def test_one_number_at_two_addresses_is_two_ports(kernel: Kernel, host: Host) -> None:
    host.ip("addr add 192.0.2.9/24 dev eth0")
    one, other = (PortKey(4, 6080, ip_address(a)) for a in ("192.0.2.1", "192.0.2.9"))
    kernel.port_add(Port(one, any_source=True))
    assert kernel.port(other) is None
    kernel.port_add(Port(other, sources=prefixes("10.0.0.0/8")))
    assert [p.key for p in kernel.ports()] == [one, other]
    kernel.port_del(one)
    assert [p.key for p in kernel.ports()] == [other]


def test_the_same_port_is_a_conflict_and_changes_nothing(kernel: Kernel) -> None:
    kernel.port_add(ANY)
    with pytest.raises(ConflictError, match="port 6080/udp: ") as refusal:
        kernel.port_add(replace(ANY, any_source=False, sources=prefixes("10.0.0.0/8")))
    assert refusal.value.errno == errno.EEXIST
    assert kernel.ports() == [ANY]


def test_somebody_elses_port_is_in_use(kernel: Kernel, host: Host) -> None:
    taken = host.udp("192.0.2.1", 6080)
    try:
        with pytest.raises(InUseError) as refusal:
            kernel.port_add(ANY)
        assert refusal.value.errno == errno.EADDRINUSE
        assert kernel.ports() == []
        owner = kernel.udp_port_owner(4, 6080)
        assert owner is not None
        assert owner.endswith(f", pid {os.getpid()}")
        assert kernel.udp_port_owner(4, 6081) is None
    finally:
        taken.close()
    assert kernel.udp_port_owner(4, 6080) is None


def test_an_ipv6_socket_that_takes_ipv4_owns_that_port_too(kernel: Kernel, host: Host) -> None:
    with host.socket(socket.AF_INET6, socket.SOCK_DGRAM) as both:
        both.bind(("::", 7000))
        assert kernel.udp_port_owner(4, 7000) is not None
        assert kernel.udp_port_owner(6, 7000) is not None
    with host.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        six.bind(("2001:db8::1", 7000))
        assert kernel.udp_port_owner(4, 7000) is None
        assert kernel.udp_port_owner(6, 7000) is not None


def test_our_own_ports_are_the_kernels(kernel: Kernel) -> None:
    kernel.port_add(ANY)
    assert kernel.udp_port_owner(4, 6080) is None


@pytest.mark.parametrize(
    ("port", "kind", "words"),
    [
        (Port(PortKey(4, 0), any_source=True), GutctlError, "port 0"),
        (Port(PortKey(4, 6080, ip_address("192.0.2.77")), any_source=True), GutctlError, "local address"),
        (Port(PortKey(4, 6080, ip_address("192.0.2.1"), 99999), any_source=True), NotFoundError, "no such device"),
        (Port(PortKey(4, 6080, None, 1), any_source=True), GutctlError, "local address"),
        (Port(PortKey(4, 6080), frozenset({Accept.FOU}), None, any_source=True), GutctlError, "protocol"),
        (Port(PortKey(4, 6080), frozenset({Accept.FOU, Accept.GUE0}), 4, any_source=True), GutctlError, "FOU"),
        (Port(PortKey(4, 6080), inner=frozenset({0}), any_source=True), GutctlError, "protocol 0"),
        (Port(PortKey(4, 6080), sources=prefixes("2001:db8::/32")), GutctlError, "family"),
    ],
)
def test_a_port_that_cannot_be(kernel: Kernel, port: Port, kind: type[GutctlError], words: str) -> None:
    with pytest.raises(kind, match=words) as refusal:
        kernel.port_add(port)
    assert refusal.value.errno
    assert refusal.value.message.startswith(f"port {port.key.port}/udp")
    assert kernel.ports() == []


def test_a_port_is_changed_piece_by_piece(kernel: Kernel) -> None:
    port = replace(ANY, any_source=False, sources=prefixes("10.0.0.0/8", "192.0.2.0/24"))
    kernel.port_add(port)

    def now(**changes: object) -> None:
        nonlocal port
        port = replace(port, **changes)  # type: ignore[arg-type]
        assert kernel.port(port.key) == port

    kernel.port_set(port.key, accept=frozenset({Accept.BARE}))
    now(accept=frozenset({Accept.BARE}))
    kernel.port_set(port.key, inner=frozenset({4, 17}))
    now(inner=frozenset({4, 17}))
    kernel.port_set(port.key, add_sources=[IPv4Network("172.16.0.0/12")], remove_sources=[IPv4Network("10.0.0.0/8")])
    now(sources=prefixes("192.0.2.0/24", "172.16.0.0/12"))
    kernel.port_set(port.key, replace_sources=[IPv4Network("203.0.113.0/24")])
    now(sources=prefixes("203.0.113.0/24"))
    kernel.port_set(port.key, replace_sources=[])
    now(sources=frozenset())
    kernel.port_set(port.key, any_source=True, origin=Origin.TUNNEL)
    now(any_source=True, origin=Origin.TUNNEL)
    kernel.port_set(port.key)
    now()


def test_a_change_that_is_refused_changes_nothing(kernel: Kernel) -> None:
    port = replace(ANY, sources=prefixes("10.0.0.0/8"))
    kernel.port_add(port)
    with pytest.raises(NotFoundError, match="source") as refusal:
        kernel.port_set(
            port.key,
            accept=frozenset({Accept.BARE}),
            add_sources=[IPv4Network("11.0.0.0/8")],
            remove_sources=[IPv4Network("12.0.0.0/8")],
        )
    assert refusal.value.errno == errno.ENOENT
    assert kernel.port(port.key) == port


def test_what_is_not_there_is_not_found(kernel: Kernel) -> None:
    calls: tuple[Callable[[], None], ...] = (
        lambda: kernel.port_set(ANY.key, any_source=True),
        lambda: kernel.port_del(ANY.key),
        lambda: kernel.profile_set(9, csum=Csum.ZERO),
        lambda: kernel.profile_del(9),
    )
    for call in calls:
        with pytest.raises(NotFoundError) as refusal:
            call()
        assert refusal.value.errno == errno.ENOENT
    assert kernel.profile(9) is None
    assert kernel.port(ANY.key) is None


@pytest.mark.parametrize("family", [4, 6])
def test_a_thousand_sources(kernel: Kernel, family: int) -> None:
    if family == 4:
        sources: frozenset[Network] = frozenset(IPv4Network((10 << 24 | n << 8, 24)) for n in range(1000))
    else:
        sources = frozenset(IPv6Network((0x20010DB8 << 96 | n << 64, 64)) for n in range(1000))
    port = Port(PortKey(family, 6080), sources=sources)
    kernel.port_add(port)
    kernel.port_add(Port(PortKey(family, 6079), any_source=True))
    assert kernel.port(port.key) == port
    assert [p.key.port for p in kernel.ports()] == [6079, 6080]
    assert kernel.ports()[1] == port
    kernel.port_set(port.key, remove_sources=list(sources)[:999])
    left = kernel.port(port.key)
    assert left is not None
    assert len(left.sources) == 1


def test_a_dump_of_five_hundred_ports_is_complete(kernel: Kernel) -> None:
    numbers = range(20000, 20500)
    for number in numbers:
        kernel.port_add(Port(PortKey(4, number), any_source=True))
    assert [p.key.port for p in kernel.ports()] == list(numbers)


def test_profiles(kernel: Kernel) -> None:
    first = kernel.profile_add(Profile(0, Format.GUE))
    assert first.number > 0
    assert first == Profile(first.number, Format.GUE)
    exact = Profile(200, Format.FOU, Csum.ZERO, (1000, 2000), Origin.TUNNEL)
    assert kernel.profile_add(exact) == exact
    assert kernel.profile(200) == exact
    assert kernel.profiles() == [first, exact]
    with pytest.raises(ConflictError, match="profile 200: "):
        kernel.profile_add(exact)
    kernel.profile_set(200, source_ports=(7, 7), csum=Csum.FULL)
    changed = replace(exact, source_ports=(7, 7), csum=Csum.FULL)
    assert kernel.profile(200) == changed
    kernel.profile_set(200, format=Format.GUE, origin=Origin.ADMIN)
    assert kernel.profile(200) == replace(changed, format=Format.GUE, origin=Origin.ADMIN)
    kernel.profile_del(200)
    assert kernel.profiles() == [first]


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (Profile(0, Format.GUE, source_ports=(2000, 1000)), "source port"),
        (Profile(0, Format.GUE, source_ports=(0, 0)), "source port 0"),
        # room for 124 octets, and index 0, which is none
        (Profile(31 << 8, Format.GUE), "profile"),
    ],
)
def test_a_profile_that_cannot_be(kernel: Kernel, profile: Profile, words: str) -> None:
    with pytest.raises(GutctlError, match=words) as refusal:
        kernel.profile_add(profile)
    assert refusal.value.errno == errno.EINVAL
    assert kernel.profiles() == []


def test_counters_count(kernel: Kernel, host: Host) -> None:
    kernel.port_add(Port(PortKey(4, 6080), sources=prefixes("198.51.100.0/24")))
    with host.udp("192.0.2.1") as sender:
        # from a source that is not allowed, to ourselves
        sender.sendto(b"\x45" + bytes(19), ("192.0.2.1", 6080))
    port = kernel.port(PortKey(4, 6080))
    assert port is not None
    assert (port.stats.packets, port.stats.drops["source"]) == (0, 1)
    assert sum(port.stats.drops.values()) == 1
