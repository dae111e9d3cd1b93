# SPDX-License-Identifier: Apache-2.0
"""A short walk through every kind of request, for whichever pyroute2 comes first on the path.

Run as a program it takes the name of a namespace with 192.0.2.1/24 on some device, and ends with a line
``pyroute2 VERSION: ok``.
"""

from __future__ import annotations

import importlib.metadata
import select
import sys
from dataclasses import replace
from ipaddress import IPv4Network, ip_address
from pathlib import Path

from gutctl.errors import ConflictError, NotFoundError, UsageError
from gutctl.model import Csum, Format, Link, Network, Port, PortKey, Profile
from gutctl.netlink import Event, Kernel

SOURCES: frozenset[Network] = frozenset(IPv4Network((10 << 24 | n << 8, 24)) for n in range(1000))


def refused(kind: type[Exception], words: str, call: object) -> None:
    try:
        call()  # type: ignore[operator]
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"{kind.__name__} was expected")


def ports(kernel: Kernel) -> None:
    port = Port(PortKey(4, 6080), sources=SOURCES)
    kernel.port_add(port)
    refused(ConflictError, "port 6080/udp: ", lambda: kernel.port_add(port))
    refused(NotFoundError, "attribute source-del", lambda: kernel.port_set(port.key, remove_sources=[IPv4Network("9.9.9.9")]))
    assert kernel.port(port.key) == port
    for n in range(60):
        kernel.port_add(Port(PortKey(6, 7000 + n), any_source=True, zero_csum6=True))
    assert [p.key.port for p in kernel.ports()] == [6080, *range(7000, 7060)]
    kernel.port_set(port.key, replace_sources=[], any_source=True)
    assert kernel.port(port.key) == replace(port, sources=frozenset(), any_source=True)
    for one in kernel.ports():
        kernel.port_del(one.key)
    assert kernel.port(port.key) is None


def profiles(kernel: Kernel) -> None:
    made = kernel.profile_add(Profile(0, Format.GUE))
    assert made.number > 0
    kernel.profile_set(made.number, csum=Csum.ZERO, source_ports=(7, 9))
    assert kernel.profiles() == [replace(made, csum=Csum.ZERO, source_ports=(7, 9))]
    kernel.profile_del(made.number)
    refused(NotFoundError, "profile", lambda: kernel.profile_del(made.number))
    assert kernel.profile(made.number) is None
    assert kernel.info().profiles == 0


def links(kernel: Kernel) -> None:
    for kind, remote in (("sit", "192.0.2.2"), ("ipip", "192.0.2.2"), ("ip6tnl", "2001:db8::2"), ("gretap", "192.0.2.2")):
        asked = Link("west", kind, None, ip_address(remote), 4, 9, 0, 6080, ttl=64, alias="smoke", mtu=1400)
        kernel.link_add(asked)
        link = kernel.link("west")
        assert link is not None
        assert link == replace(asked, ifindex=link.ifindex), link
        refused(ConflictError, "link west: ", lambda asked=asked: kernel.link_add(asked))
        kernel.address_add("west", "10.9.0.1/30")
        kernel.link_set("west", up=True, mtu=1300)
        (found,) = kernel.links()
        assert (found.up, found.mtu, found.addresses) == (True, 1300, ("10.9.0.1/30",))
        kernel.link_change(replace(asked, ttl=5))
        assert kernel.links()[0].ttl == 5
        kernel.link_del("west")
    refused(UsageError, "no IPv4 address", lambda: kernel.link_add(replace(asked, remote=ip_address("::1"))))
    mtu, device, source = kernel.route_mtu(ip_address("192.0.2.2"))
    assert (mtu, source) == (1500, ip_address("192.0.2.1"))
    assert kernel.device_name(kernel.device(device)) == device
    refused(NotFoundError, "no route", lambda: kernel.route_mtu(ip_address("203.0.113.1")))
    assert ip_address("192.0.2.1") in kernel.local_addresses()
    assert kernel.netns_of(4242) is None


def events(kernel: Kernel) -> None:
    stream = kernel.events()
    port = Port(PortKey(4, 6080), any_source=True)
    kernel.port_add(port)
    kernel.port_del(port.key)
    for action in ("add", "del"):
        assert stream._ready or select.select([stream._sock], [], [], 30)[0], "no event came"
        event = next(stream)
        assert isinstance(event, Event)
        assert (event.action, event.record) == (action, port)
    stream.close()


def walk(netns: str) -> None:
    """All of it. Raises AssertionError."""
    with Kernel(netns) as kernel:
        assert kernel.info().ports == 0
        ports(kernel)
        profiles(kernel)
        links(kernel)
        events(kernel)
        assert kernel.sysctl("net/ipv4/ip_forward") in ("0", "1")


def version() -> str:
    """Of the pyroute2 that has been imported."""
    where = Path(sys.modules["pyroute2"].__file__ or "").parents[1]
    return next(d.version for d in importlib.metadata.distributions(name="pyroute2", path=[str(where)]))


if __name__ == "__main__":
    walk(sys.argv[1])
    print(f"pyroute2 {version()}: ok")
