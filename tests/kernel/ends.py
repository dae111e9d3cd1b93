# SPDX-License-Identifier: Apache-2.0
"""The two hosts of a test as tunnel ends: the door to each one's kernel, ports, links, counters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from net import Host, Net
from topology import Pair, pair

from gutctl.model import Accept, Csum, Format, Link, Port, PortKey, Profile, Stats
from gutctl.netlink import Kernel

BARE, HEADER = 4, 5
"""Encapsulation types of the module; 1 and 2 are the in-tree fou and gue."""
TREE_FOU, TREE_GUE = 1, 2

ANY_BUT_FOU = (Accept.GUE0, Accept.BARE, Accept.GUTLESS)


@dataclass
class End:
    """A host and what was made on it."""

    host: Host
    kernel: Kernel
    addresses: dict[int, str]
    """Of the wire, by family."""
    inner: dict[int, str]
    """That its tunnels get, by family, without length."""
    links: list[str] = field(default_factory=list)
    profiles: list[int] = field(default_factory=list)

    def port(self, family: int, number: int, *accept: Accept, fou: int | None = None, **more: Any) -> PortKey:
        """Open a receiving port, for any source and for checksum 0 over IPv6 unless told otherwise."""
        key = PortKey(family, number)
        formats = frozenset(accept or ANY_BUT_FOU) if fou is None else frozenset({Accept.FOU})
        settings = {"any_source": True, "zero_csum6": family == 6, **more}
        self.kernel.port_add(Port(key, formats, fou, **settings))
        return key

    def profile(
        self, format: Format, csum: Csum = Csum.FULL, source_ports: tuple[int, int] = (49152, 65535), **more: Any
    ) -> int:
        """Make a profile and return its number."""
        number = self.kernel.profile_add(Profile(0, format, csum, source_ports, **more)).number
        self.profiles.append(number)
        return number

    def drops(self, key: PortKey) -> dict[str, int]:
        """The reasons for which a port has dropped packets, with how many."""
        port = self.kernel.port(key)
        assert port is not None
        return {reason: count for reason, count in port.stats.drops.items() if count}

    def received(self, key: PortKey) -> int:
        """Segments a port has given to IP."""
        port = self.kernel.port(key)
        assert port is not None
        return port.stats.packets

    def sent(self, number: int) -> int:
        """Segments sent with a profile; number 0: without one."""
        return self.tx(number).packets

    def tx(self, number: int) -> Stats:
        """Counters of a profile, or of all links without one."""
        if not number:
            return self.kernel.info().plain
        profile = self.kernel.profile(number)
        assert profile is not None
        return profile.stats

    def tx_drops(self, number: int) -> dict[str, int]:
        """The reasons for which packets were not sent with a profile, with how many."""
        return {reason: count for reason, count in self.tx(number).drops.items() if count}

    def tunnel(
        self,
        name: str,
        remote: str,
        encap: int,
        dport: int,
        *,
        number: int = 0,
        flags: int = 0,
        kind: str | None = None,
        protocol: int = 0,
        local: bool = True,
        inner: tuple[int, ...] = (),
        up: bool = True,
        **more: Any,
    ) -> None:
        """Make a tunnel link to an address, up, with this end's inner addresses of the families in ``inner``."""
        there = ip_address(remote)
        link = Link(
            name=name,
            kind=kind or {4: "sit", 6: "ip6tnl"}[there.version],
            local=ip_address(self.addresses[there.version]) if local else None,
            remote=there,
            encap_type=encap,
            encap_flags=number << 3 | flags,
            encap_sport=more.pop("sport", 0),
            encap_dport=dport,
            protocol=protocol,
            ttl=more.pop("ttl", 64),
            **more,
        )
        # no neighbour or listener messages of IPv6 where the tunnel is for IPv4 alone
        self.host.sysctl(ipv6__conf__default__disable_ipv6=0 if 6 in inner else 1)
        self.kernel.link_add(link)
        self.links.append(name)
        for family in inner:
            self.kernel.address_add(name, self.inner[family] + {4: "/24", 6: "/64"}[family])
        if up:
            self.kernel.link_set(name, up=True)

    def clear(self) -> None:
        """Delete the links and profiles made here; ports stay."""
        while self.links:
            name = self.links.pop()
            if self.kernel.link(name) is not None:
                self.kernel.link_del(name)
        while self.profiles:
            self.kernel.profile_del(self.profiles.pop())

    def close(self) -> None:
        self.kernel.close()


@contextmanager
def two_ends(net: Net, *, offloads: bool = False, mtu: int = 1500) -> Iterator[tuple[End, End, Pair]]:
    """``topology.pair`` with a Kernel for each host. Offloads are off unless asked for (ethtool is asked)."""
    wire = pair(net, offloads=offloads, mtu=mtu)
    if not offloads:
        for host in (wire.a, wire.b):
            assert_offloads_off(host, wire.device)
    a = End(wire.a, Kernel(wire.a.name), {4: wire.a4, 6: wire.a6}, {4: "10.9.0.1", 6: "fd09::1"})
    b = End(wire.b, Kernel(wire.b.name), {4: wire.b4, 6: wire.b6}, {4: "10.9.0.2", 6: "fd09::2"})
    try:
        yield a, b, wire
    finally:
        a.close()
        b.close()


def features(host: Host, device: str) -> dict[str, bool]:
    """What ``ethtool -k`` says is on."""
    lines = host.run("ethtool", "-k", device).stdout.splitlines()[1:]
    pairs = (line.split(":") for line in lines if ":" in line)
    return {name.strip(): value.split()[0] == "on" for name, value in pairs}


def assert_offloads_off(host: Host, device: str) -> None:
    """With any of these on, a veth would hand over packets whose checksums or segments were never made."""
    left_on = {
        "tx-checksumming",
        "tcp-segmentation-offload",
        "generic-segmentation-offload",
        "tx-tcp-segmentation",
        "tx-tcp6-segmentation",
        "tx-udp_tnl-segmentation",
        "tx-udp_tnl-csum-segmentation",
        "tx-udp-segmentation",
    } & {name for name, on in features(host, device).items() if on}
    assert not left_on, f"{host} {device}: still on: {sorted(left_on)}"
