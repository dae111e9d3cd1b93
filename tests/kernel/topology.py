# SPDX-License-Identifier: Apache-2.0
"""Ready-made topologies: two hosts and a wire, hosts around a NAT router, two paths of equal cost."""

from __future__ import annotations

from dataclasses import dataclass

from net import Host, Net


@dataclass(frozen=True)
class Pair:
    """a eth0 ---- eth0 b"""

    a: Host
    b: Host
    a4: str = "198.51.100.1"
    b4: str = "198.51.100.2"
    a6: str = "2001:db8::1"
    b6: str = "2001:db8::2"
    device: str = "eth0"

    def ends(self, version: int) -> tuple[str, str]:
        """The addresses of a and b of IP version 4 or 6."""
        return (self.a4, self.b4) if version == 4 else (self.a6, self.b6)


def pair(net: Net, *, offloads: bool = True, mtu: int = 1500) -> Pair:
    """Two hosts, 198.51.100.1 / 2001:db8::1 and .2 / ::2, joined by a wire; device eth0 at both ends."""
    made = Pair(net.host("a"), net.host("b"))
    net.link(
        made.a, made.b,
        [f"{made.a4}/24", f"{made.a6}/64"], [f"{made.b4}/24", f"{made.b6}/64"],
        offloads=offloads, mtu=mtu, names=("eth0", "eth0"),
    )  # fmt: skip
    return made


@dataclass(frozen=True)
class Nat:
    """a eth0 ---- inside r outside ---- eth0 b

    a 10.1.0.2/24, r 10.1.0.1/24 and 198.51.100.1/24, b 198.51.100.2/24; a's default route is r, b has none.
    """

    a: Host
    r: Host
    b: Host
    a4: str = "10.1.0.2"
    inside4: str = "10.1.0.1"
    outside4: str = "198.51.100.1"
    b4: str = "198.51.100.2"

    def rule(self, *lines: str) -> None:
        """Add commands of nft(8) on the router, as one transaction."""
        self.r.run("nft", "-f", "-", input="\n".join(lines) + "\n")


def nat(net: Net, *, offloads: bool = True, masquerade: str = "masquerade") -> Nat:
    """Two hosts and a router that rewrites what leaves `outside`; `masquerade` is the statement of nft(8) for it.

    For a router that changes source ports as well: ``masquerade="meta l4proto udp masquerade to :40000-40999"``.
    """
    made = Nat(net.host("a"), net.host("r"), net.host("b"))
    net.link(made.a, made.r, [f"{made.a4}/24"], [f"{made.inside4}/24"], offloads=offloads, names=("eth0", "inside"))
    net.link(made.r, made.b, [f"{made.outside4}/24"], [f"{made.b4}/24"], offloads=offloads, names=("outside", "eth0"))
    made.a.ip(f"route add default via {made.inside4}")
    made.r.sysctl(ipv4__ip_forward=1)
    made.rule(
        "table ip nat {",
        "  chain postrouting { type nat hook postrouting priority srcnat; policy accept;",
        f'    oifname "outside" {masquerade}',
        "  }",
        "}",
    )
    return made


@dataclass(frozen=True)
class Ecmp:
    """                 one
    a eth0 ---- in r <===> b     r chooses one of two wires by a hash over addresses and ports
                     two

    a 10.1.0.2 / fd01::2, b's own address 10.2.0.1 / fd02::1 stands on its `lo`.
    """

    a: Host
    r: Host
    b: Host
    a4: str = "10.1.0.2"
    b4: str = "10.2.0.1"
    a6: str = "fd01::2"
    b6: str = "fd02::1"
    paths: tuple[str, str] = ("one", "two")

    def ends(self, version: int) -> tuple[str, str]:
        """The addresses of a and b of IP version 4 or 6."""
        return (self.a4, self.b4) if version == 4 else (self.a6, self.b6)

    def sent(self) -> tuple[int, int]:
        """Packets that r has sent on either wire so far."""
        return self.r.counter("one", "tx_packets"), self.r.counter("two", "tx_packets")


def ecmp(net: Net, *, offloads: bool = True) -> Ecmp:
    """A host, a router with two equal paths (hash policy 1: addresses and ports) and a host behind both."""
    made = Ecmp(net.host("a"), net.host("r"), net.host("b"))
    net.link(
        made.a, made.r, [f"{made.a4}/24", f"{made.a6}/64"], ["10.1.0.1/24", "fd01::1/64"],
        offloads=offloads, names=("eth0", "in"),
    )  # fmt: skip
    hops4, hops6 = [], []
    for number, path in enumerate(made.paths, start=3):
        net.link(
            made.r, made.b,
            [f"10.{number}.0.1/24", f"fd0{number}::1/64"], [f"10.{number}.0.2/24", f"fd0{number}::2/64"],
            offloads=offloads, names=(path, path),
        )  # fmt: skip
        hops4.append(f"nexthop via 10.{number}.0.2 dev {path}")
        hops6.append(f"nexthop via fd0{number}::2 dev {path}")
    made.r.sysctl(
        ipv4__ip_forward=1, ipv6__conf__all__forwarding=1,
        ipv4__fib_multipath_hash_policy=1, ipv6__fib_multipath_hash_policy=1,
    )  # fmt: skip
    made.a.ip("route add default via 10.1.0.1", "route add default via fd01::1")
    made.b.ip(
        f"addr add {made.b4}/32 dev lo", f"addr add {made.b6}/128 dev lo nodad",
        "route add default via 10.3.0.1", "route add default via fd03::1",
    )  # fmt: skip
    made.r.ip(f"route add {made.b4}/32 {' '.join(hops4)}", f"route add {made.b6}/128 {' '.join(hops6)}")
    return made
