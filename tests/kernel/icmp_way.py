# SPDX-License-Identifier: Apache-2.0
"""An inner host behind a tunnel's end, and a router on the tunnel's way that says no.

    c eth0 ---- in a eth0 ---- in r out ---- eth0 b
    10.1.0.2       192.0.2.1      192.0.2.254   198.51.100.2      and all of 198.18.0.0/16, 10.9.0.0/16,
    fd01::2        2001:db8:1::1  2001:db8:1::fe 2001:db8:2::2    2001:db8:18::/64, fd09::/64 stand on b's lo

    a's tunnels lead to an address of b for each, with an inner network for each, so that what was learnt about one
    is not known of the next. The wire between r and b takes 1400 octets. Answers come back without a tunnel.
    a and b both receive on 6080, and by FOU on 6081 to 6083: UDP asks the socket of a port first whose an error is.
    Where none of a's has a quoted port number it asks all encapsulations, and the in-tree module, if it is loaded,
    before ours; that one takes whatever looks like GUE.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import modules
from ends import BARE, HEADER
from net import Host, Net, run
from pings import ping
from traffic import wait_until

from gutctl.model import Accept, Address, Csum, Format, Link, Port, PortKey, Profile, Stats
from gutctl.netlink import Kernel

PATH_MTU = 1400
A = {4: "192.0.2.1", 6: "2001:db8:1::1"}
R = {4: "192.0.2.254", 6: "2001:db8:1::fe"}
C = {4: "10.1.0.2", 6: "fd01::2"}
PORT = 6080
FOU = {4: 6081, 41: 6082, 47: 6083}
"""FOU ports by inner protocol."""
RECVERR = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
DISCOVER = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
MSG_ERRQUEUE = 0x2000
ERROR_COST = Path("/proc/sys/net/ipv4/route/error_cost")
"""For all namespaces."""
GRE = ("gre", "gretap", "ip6gre", "ip6gretap")
ETHERNET = ("gretap", "ip6gretap")


@dataclass(frozen=True)
class Case:
    """A tunnel link and the profile it needs, if any."""

    name: str
    kind: str
    encap: int
    protocol: int = 0
    """The inner IP protocol that the kind is restricted to."""
    form: Format | None = None
    csum: Csum = Csum.FULL
    dport: int = PORT

    def __str__(self) -> str:
        return self.name

    @property
    def outer(self) -> int:
        return 6 if self.kind.startswith("ip6") else 4

    @property
    def inners(self) -> tuple[int, ...]:
        """IP versions that it carries."""
        return {0: (4, 6), 4: (4,), 41: (6,)}[self.protocol]

    @property
    def overhead(self) -> int:
        """Octets between the link's MTU and the path's."""
        words = {Csum.REMOTE: 2, Csum.REMOTE_DRAFT: 1}.get(self.csum, 0)
        made = {4: 20, 6: 40}[self.outer] + 8 + (4 + 4 * words if self.encap in (HEADER, 2) else 0)
        return made + (4 if self.kind in GRE else 0) + (14 if self.kind in ETHERNET else 0)


def cases() -> list[Case]:
    """Every format with every kind of link."""
    made = [
        Case("fou-ipip", "ipip", BARE, 4, dport=FOU[4]),
        Case("fou-sit", "sit", BARE, 41, dport=FOU[41]),
        Case("fou-gre", "gre", BARE, dport=FOU[47]),
        Case("fou-ip4ip6", "ip6tnl", BARE, 4, dport=FOU[4]),
        Case("fou-ip6ip6", "ip6tnl", BARE, 41, dport=FOU[41]),
        Case("fou-ip6gre", "ip6gre", BARE, dport=FOU[47]),
    ]
    for ip, gre, tap in (("sit", "gre", "gretap"), ("ip6tnl", "ip6gre", "ip6gretap")):
        made += [
            Case(f"bare-{ip}", ip, BARE),
            Case(f"gue-{ip}", ip, HEADER),
            Case(f"gue-{gre}", gre, HEADER),
            Case(f"gutless-{gre}", gre, HEADER, form=Format.GUTLESS),
            Case(f"gutless-{tap}", tap, HEADER, form=Format.GUTLESS),
            Case(f"gue-remote-{ip}", ip, HEADER, form=Format.GUE, csum=Csum.REMOTE),
            Case(f"gue-draft-{gre}", gre, HEADER, form=Format.GUE, csum=Csum.REMOTE_DRAFT),
            Case(f"gutless-remote-{ip}", ip, HEADER, form=Format.GUTLESS, csum=Csum.REMOTE),
        ]
    return made


@dataclass(frozen=True)
class Told:
    """An ICMP error that the inner sender got."""

    type: int
    code: int
    info: int


class Sender:
    """A connected UDP socket of c's, which never fragments, and the errors that come back to it."""

    def __init__(self, host: Host, target: str) -> None:
        self.version = ip_address(target).version
        self.socket = host.udp(C[self.version])
        self.socket.setsockopt(*RECVERR[self.version], 1)
        # IP_PMTUDISC_PROBE: DF is set, and what the route says is too large is sent all the same
        self.socket.setsockopt(*DISCOVER[self.version], 3)
        self.socket.connect((target, 9))
        # a timeout would be waited for before the queue of errors is looked at
        self.socket.settimeout(None)

    def send(self, octets: int = 100) -> None:
        """One IP packet of that many octets."""
        data = bytes(octets - {4: 28, 6: 48}[self.version])
        for _ in range(3):
            # an error that waits to be told is told in place of sending
            with contextlib.suppress(OSError):
                self.socket.send(data)
                return
        raise AssertionError(f"{octets} octets are not sent")

    def told(self) -> list[Told]:
        """Errors that have come since the last look, those of ICMP."""
        found: list[Told] = []
        while True:
            try:
                _, extra, _, _ = self.socket.recvmsg(0, 512, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            for level, kind, data in extra:
                if (level, kind) == RECVERR[self.version]:
                    _, origin, type_, code, _, info, _ = struct.unpack_from("=IBBBBII", data)
                    if origin in (2, 3):
                        found.append(Told(type_, code, info))

    def close(self) -> None:
        self.socket.close()


@dataclass(frozen=True)
class Tunnel:
    """A link of a's with its numbers."""

    case: Case
    name: str
    number: int
    remote: str
    profile: int
    inner: dict[int, str]
    """Addresses behind it, by IP version."""


class Way:
    """The topology, with doors to a's kernel."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.c, self.a, self.r, self.b = (net.host(role) for role in "carb")
        net.link(self.c, self.a, ["10.1.0.2/24", "fd01::2/64"], ["10.1.0.1/24", "fd01::1/64"], names=("eth0", "in"))
        near = ([f"{A[4]}/24", f"{A[6]}/64"], [f"{R[4]}/24", f"{R[6]}/64"])
        net.link(self.a, self.r, *near, names=("eth0", "in"))
        far = (["198.51.100.1/24", "2001:db8:2::1/64"], ["198.51.100.2/24", "2001:db8:2::2/64"])
        net.link(self.r, self.b, *far, names=("out", "eth0"), mtu=PATH_MTU)
        self.c.ip("route add default via 10.1.0.1", "route add default via fd01::1")
        self.a.ip(f"route add default via {R[4]}", f"route add default via {R[6]}")
        self.r.ip(
            f"route add 10.1.0.0/24 via {A[4]}", f"route add fd01::/64 via {A[6]}",
            "route add 198.18.0.0/16 via 198.51.100.2", "route add 2001:db8:18::/64 via 2001:db8:2::2",
        )  # fmt: skip
        self.b.ip(
            "route add default via 198.51.100.1", "route add default via 2001:db8:2::1",
            "route add local 198.18.0.0/16 dev lo", "route add local 10.9.0.0/16 dev lo",
            "route add local 2001:db8:18::/64 dev lo", "route add local fd09::/64 dev lo",
            f"link add in4 type sit mode any remote {A[4]}", f"link add ing type gre remote {A[4]}",
            f"link add in6 type ip6tnl mode any remote {A[6]}", f"link add ing6 type ip6gre remote {A[6]}",
            "link set in4 up", "link set ing up", "link set in6 up", "link set ing6 up",
        )  # fmt: skip
        for host in (self.a, self.r, self.b):
            host.sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0, ipv4__icmp_ratelimit=0)
            host.sysctl(ipv6__icmp__ratelimit=0, ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        for device in ("eth0", "in4", "ing", "in6", "ing6"):
            self.b.sysctl(**{f"ipv4__conf__{device}__rp_filter": 0})
        # no router solicitations through the tunnels, which would be answered by errors as well
        self.a.sysctl(ipv6__conf__default__router_solicitations=0, ipv6__conf__default__addr_gen_mode=1)
        self.kernel, self.far = Kernel(self.a.name), Kernel(self.b.name)
        for door in (self.kernel, self.far):
            for family in (4, 6):
                door.port_add(Port(PortKey(family, PORT), any_source=True))
                for protocol, number in FOU.items():
                    accept = frozenset({Accept.FOU})
                    door.port_add(Port(PortKey(family, number), accept, protocol, frozenset({protocol}), any_source=True))
        self._numbers = itertools.count(1)
        # a router without a route to somebody says so five times, then once a second, whatever icmp_ratelimit is
        self._error_cost = ERROR_COST.read_text()
        ERROR_COST.write_text("0")

    def close(self) -> None:
        ERROR_COST.write_text(self._error_cost)
        self.kernel.close()
        self.far.close()

    @contextmanager
    def tunnel(self, case: Case, *, sport: int = 0, dport: int | None = None, flags: int = 1) -> Iterator[Tunnel]:
        """A link from a to an address of b that nothing has been sent to, up, with the routes to what is behind it."""
        number = next(self._numbers)
        name = f"t{number}"
        remote = f"198.18.{number >> 8}.{number & 255}" if case.outer == 4 else f"2001:db8:18::{number:x}"
        profile = 0
        if case.form is not None:
            profile = self.kernel.profile_add(Profile(0, case.form, case.csum)).number
        self.kernel.link_add(
            Link(
                name, case.kind, ip_address(A[case.outer]), ip_address(remote), case.encap,
                profile << 3 | {4: flags, 6: 2 * flags}[case.outer], sport, dport or case.dport,
                protocol=case.protocol, ttl=64, mtu=1430,
            )
        )  # fmt: skip
        inner = {4: f"10.9.{number >> 8}.{number & 255}", 6: f"fd09::{number:x}"}
        lines = [f"link set {name} up"]
        for version in case.inners:
            lines.append(f"route add {inner[version]} dev {name}")
            if case.kind in ETHERNET:
                lines.append(f"neigh add {inner[version]} lladdr 02:00:00:00:00:01 nud permanent dev {name}")
        self.a.ip(*lines)
        try:
            yield Tunnel(case, name, number, remote, profile, inner)
        finally:
            self.kernel.link_del(name)
            if profile:
                self.kernel.profile_del(profile)

    @contextmanager
    def addresses(self, tunnel: Tunnel, version: int) -> Iterator[None]:
        """The tunnel's peer and what is behind it are addresses that b has, for who listens there and for ip6tnl."""
        words = [f"{tunnel.remote}/{ {4: 32, 6: 128}[tunnel.case.outer]}", f"{tunnel.inner[version]}/{ {4: 32, 6: 128}[version]}"]
        self.b.ip(*(f"addr add {cidr} dev lo" + (" nodad" if ":" in cidr else "") for cidr in words))
        try:
            yield
        finally:
            self.b.ip(*(f"addr del {cidr} dev lo" for cidr in words))

    def claimed(self, tunnel: Tunnel) -> int:
        """ICMP errors that were handed to links by the tunnel's profile."""
        return self.stats(tunnel).icmp_errors

    def stats(self, tunnel: Tunnel) -> Stats:
        if not tunnel.profile:
            return self.kernel.info().plain
        profile = self.kernel.profile(tunnel.profile)
        assert profile is not None
        return profile.stats

    def heard(self, version: int) -> int:
        """ICMP errors that a has received over IPv4 or IPv6."""

        def read() -> int:
            if version == 6:
                text = Path("/proc/thread-self/net/snmp6").read_text()
                kinds = "DestUnreachs|PktTooBigs|TimeExcds|ParmProblems"
                return sum(int(count) for count in re.findall(rf"^Icmp6In(?:{kinds})\s+(\d+)", text, re.MULTILINE))
            lines = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()]
            names, values = (line for line in lines if line[0] == "Icmp:")
            table = dict(zip(names, values, strict=True))
            return sum(int(table[name]) for name in ("InDestUnreachs", "InTimeExcds", "InParmProbs"))

        return self.a.call(read)

    def settle(self, *versions: int) -> None:
        """What was sent towards c before this has arrived."""
        for version in versions or (4, 6):
            assert ping(self.c, {4: "10.1.0.1", 6: "fd01::1"}[version]) == 1

    def send(self, sender: Sender, outer: int, octets: int = 100) -> list[Told]:
        """One packet that an outer error answers; what its sender was told until then."""
        before = self.heard(outer)
        sender.send(octets)
        wait_until(lambda: self.heard(outer) > before, 5, "an ICMP error at the tunnel's end")
        self.settle(sender.version)
        return sender.told()

    def path_mtu(self, tunnel: Tunnel) -> int:
        """What a knows of the path to the tunnel's peer."""
        address: Address = ip_address(tunnel.remote)
        return self.kernel.route_mtu(address)[0]


@contextmanager
def without_in_tree() -> Iterator[None]:
    """The in-tree module is not loaded while the block lasts: it would claim errors that are not its own."""
    run("rmmod", "fou6", "fou")
    try:
        yield
    finally:
        modules.load_needed("fou", "fou6")


def wait_told(sender: Sender, seconds: float = 5.0, again: int = 0) -> list[Told]:
    """Errors, when there is one; with `again`, that many octets are sent once more in each second without, as programs do."""
    found: list[Told] = []
    deadline = time.monotonic() + seconds
    late = time.monotonic() + 1
    while not found:
        assert time.monotonic() < deadline, "the inner sender is told nothing"
        if again and time.monotonic() > late:
            sender.send(again)
            late = time.monotonic() + 1
        found = sender.told()
        time.sleep(0.002)
    return found
