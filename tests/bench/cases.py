# SPDX-License-Identifier: Apache-2.0
"""What is compared: tunnels, each as the commands that set up and take down one of its ends in the guest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

LOCAL = {4: ("192.0.2.1", "192.0.2.2"), 6: ("fd00::1", "fd00::2")}
"""Outer addresses of the two ends."""
ARRIVES = {4: ("198.51.100.1", "198.51.100.9"), 6: ("fd01::1", "fd01::9")}
"""At the router: its own address where packets arrive, and their sender's."""
INNER = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}
PREFIX = {4: 30, 6: 64}
MAC = ("02:00:00:00:09:01", "02:00:00:00:09:02")

FOU, GUE, BARE, HEADER = 1, 2, 4, 5
"""Types of encapsulation: the kernel's two (linux/if_tunnel.h), ours (linux/gutless.h)."""
IPIP, IPV6, GRE = 4, 41, 47
ACCEPT_FOU, ACCEPT_ALL = 1, 14
FULL, ZERO, REMOTE, REMOTE_DRAFT, NEUTRAL = 1, 2, 3, 4, 5
FORMAT_GUE, FORMAT_GUTLESS = 2, 3
CSUM = {4: 1, 6: 2}
"""The flag of the encapsulation that asks for an outer checksum (TUNNEL_ENCAP_FLAG_CSUM, _CSUM6)."""
REMCSUM = 4
PORT = 5555
PROFILE_SHIFT, WORDS_SHIFT = 3, 8


@dataclass(frozen=True)
class Case:
    """One tunnel. ``name`` is unique among the cases of one ``outer`` family and ``csum``."""

    name: str
    module: str
    """`gutless`, `fou` (the kernel's own) or `kernel` (no encapsulation in UDP by either)."""
    outer: int
    csum: str
    """The outer UDP checksum: `on`, `off`, `remote` (on, and the inner one left to the receiver), or `-`: none there."""
    against: str = ""
    """The name of the case, of the same outer family and checksum, that this one is measured by."""
    kind: str = ""
    inner: int = 4
    type: int = 0
    flags: int = 0
    accept: int = 0
    protocol: int = 0
    profile: tuple[int, int, int] | None = None
    """Number, format, checksum mode."""
    options: str = ""
    """Of the profile, in hex, whole words."""
    auth: int = 0
    """Number of a key of option auth, at both ends."""
    require: str = ""
    """An option that the port requires, in hex as in a header."""
    ports: int = 1
    verify: bool = False
    """The port verifies no more than headers."""
    front: str = ""
    """What arrives has this between UDP and the packet inside: `nothing`, `gue`, `gutless`, `check` (where a program makes it)."""

    @property
    def key(self) -> str:
        return f"{self.name}/{self.outer}/{self.csum}"

    @property
    def layer2(self) -> bool:
        return self.kind in ("gretap", "ip6gretap", "vxlan", "geneve")

    def up(self, ns: str, side: int, ends: dict[int, tuple[str, str]] = LOCAL) -> list[str]:
        """Shell commands for one end; ``side`` 0 or 1 says which address of ``ends`` is its own."""
        here, there = ends[self.outer][side], ends[self.outer][1 - side]
        lines, batch = self._device(ns, side, here, there)
        if self.module == "gutless":
            lines += [f"bench port {ns} {PORT} {self.outer} {self.accept} source {there}{self._port_words} many {self.ports}"]
        if self.module == "fou":
            what = "gue" if self.type == GUE else f"ipproto {self.protocol}"
            batch += [f"fou add port {PORT + n} {what}{self._fou_family}" for n in range(self.ports)]
        if self.layer2:
            batch += [f"link set dev t address {MAC[side]}"]
        nodad = " nodad" if self.inner == 6 else ""
        if self.auth or (self.profile and self.profile[2] == NEUTRAL):
            # each segment has a Check, or a tag, of its own
            lines += [f"bench offloads {ns} t tso off"]
        batch += [f"addr add {INNER[self.inner][side]}/{PREFIX[self.inner]} dev t{nodad}", "link set dev t up"]
        if self.layer2:
            batch += [f"neigh replace {INNER[self.inner][1 - side]} lladdr {MAC[1 - side]} nud permanent dev t"]
        if self.kind == "bareudp":
            # it has no other end of its own: the route says where to
            encap = f"encap {'ip' if self.outer == 4 else 'ip6'} id 0 src {here} dst {there}{' csum' if self.csum == 'on' else ''}"
            batch += [f"route add {INNER[self.inner][1 - side]} {encap} dev t"]
        return [*lines, ip(ns, batch)]

    def down(self, ns: str) -> list[str]:
        """What takes back all that :meth:`up` did."""
        batch, lines = ["link del dev t"], []
        if self.module == "fou":
            batch += [f"fou del port {PORT + n}{self._fou_family}" for n in range(self.ports)]
        if self.module == "gutless":
            lines += [f"bench unport {ns} {PORT} {self.outer} many {self.ports}"]
        if self.profile:
            lines += [f"bench unprofile {ns} {self.profile[0]}"]
        return [ip(ns, batch), *lines]

    @property
    def _fou_family(self) -> str:
        return " -6" if self.outer == 6 else ""

    @property
    def _port_words(self) -> str:
        words = f" protocol {self.protocol}" if self.accept == ACCEPT_FOU else ""
        words += " verify-headers 1" if self.verify else ""
        words += f" require {self.require}" if self.require else ""
        words += f" key {self.auth}" if self.auth else ""
        return words + (" zero-csum6 1" if self.outer == 6 and self.csum == "off" else "")

    def _device(self, ns: str, side: int, here: str, there: str) -> tuple[list[str], list[str]]:
        """Commands of the shell that make the device, and lines for ip that do."""
        if self.kind in ("vxlan", "geneve"):
            if self.outer == 4:
                option = "udpcsum" if self.csum == "on" else "noudpcsum"
            else:
                option = "udp6zerocsumtx udp6zerocsumrx" if self.csum == "off" else "noudp6zerocsumtx"
            ends = f"local {here} remote {there} dstport 4789" if self.kind == "vxlan" else f"remote {there}"
            return [], [f"link add name t type {self.kind} id 7 {ends} {option}"]
        if self.kind == "bareudp":
            return [], [f"link add name t type bareudp dstport 6635 ethertype ipv{self.inner}"]
        if self.kind == "wireguard":
            made = ip(ns, ["link add name t type wireguard"])
            return [made, f"bench wireguard {ns} t {side} 51820 {there} 51820"], []
        words, lines = "", []
        if self.type:
            number = self.profile[0] << PROFILE_SHIFT if self.profile else 0
            words = f" type {self.type} flags {self.flags | number} dport {PORT}"
        if self.kind in ("sit", "ipip", "ip6tnl"):
            words += " mode 4" if self.kind == "ipip" else " mode 0"
        if self.profile:
            more = (f" options {self.options}" if self.options else "") + (f" key {self.auth}" if self.auth else "")
            lines += [f"bench profile {ns} {' '.join(map(str, self.profile))}{more}"]
        return [*lines, f"bench link {ns} t {self.kind} {here} {there}{words}"], []


def ip(ns: str, batch: Sequence[str]) -> str:
    """One call of ip for several commands in a namespace."""
    return f"/usr/sbin/ip -n {ns} -batch - <<E\n" + "\n".join(batch) + "\nE"


def _fou(name: str, kind: str, outer: int, csum: str, protocol: int, type_: int, inner: int = 4) -> Case:
    flags = {"on": CSUM[outer], "off": 0, "remote": CSUM[outer] | REMCSUM}[csum]
    return Case(name, "fou", outer, csum, "", kind, inner, type_, flags, 0, protocol)


def _gutless(
    name: str,
    kind: str,
    outer: int,
    csum: str,
    protocol: int,
    type_: int,
    against: str,
    *,
    accept: int = ACCEPT_ALL,
    profile: tuple[int, int, int] | None = None,
    inner: int = 4,
) -> Case:
    flags = CSUM[outer] if csum == "on" and not profile else 0
    return Case(name, "gutless", outer, csum, against, kind, inner, type_, flags, accept, protocol, profile)


def _of_kind(kind: str, label: str, outer: int, protocol: int, inner: int) -> list[Case]:
    """A link that carries IP: plain, in the kernel's encapsulations, in ours."""
    found = [Case(label, "kernel", outer, "-", "", kind, inner)]
    for csum in ("on", "off"):
        mode = FULL if csum == "on" else ZERO
        found += [
            _fou(f"{label}+fou", kind, outer, csum, protocol, FOU, inner),
            _fou(f"{label}+gue", kind, outer, csum, protocol, GUE, inner),
            _gutless(f"{label}+gutless fou", kind, outer, csum, protocol, BARE, f"{label}+fou", accept=ACCEPT_FOU, inner=inner),
            _gutless(f"{label}+gutless gue", kind, outer, csum, protocol, HEADER, f"{label}+gue", inner=inner),
            _gutless(f"{label}+gutless bare", kind, outer, csum, protocol, BARE, f"{label}+fou", inner=inner),
            _gutless(
                f"{label}+gutless bare by profile", kind, outer, csum, protocol, BARE, f"{label}+fou",
                profile=(1, FORMAT_GUTLESS, mode), inner=inner,
            ),
        ]  # fmt: skip
    found += [
        _gutless(
            f"{label}+gutless header, Check", kind, outer, "on", protocol, HEADER, f"{label}+gutless bare by profile",
            profile=(1, FORMAT_GUTLESS, NEUTRAL), inner=inner,
        )
    ]  # fmt: skip
    remote = [("gue", FORMAT_GUE, REMOTE, 2), ("gue, draft's flag", FORMAT_GUE, REMOTE_DRAFT, 1), ("header", FORMAT_GUTLESS, REMOTE, 2)]
    found += [_fou(f"{label}+gue", kind, outer, "remote", protocol, GUE, inner)]
    for name, format_, mode, words in remote:
        found += [
            _gutless(
                f"{label}+gutless {name}", kind, outer, "remote", protocol, HEADER, f"{label}+gue",
                profile=(words << WORDS_SHIFT | 1, format_, mode), inner=inner,
            )
        ]  # fmt: skip
    return found


def _gre(kind: str, label: str, outer: int) -> list[Case]:
    """GRE: what has no form of its own in a bare tunnel, and goes behind our header."""
    found = [Case(label, "kernel", outer, "-", "", kind)]
    for csum in ("on", "off"):
        mode = FULL if csum == "on" else ZERO
        found += [
            _fou(f"{label}+fou", kind, outer, csum, GRE, FOU),
            _fou(f"{label}+gue", kind, outer, csum, GRE, GUE),
            _gutless(f"{label}+gutless fou", kind, outer, csum, GRE, BARE, f"{label}+fou", accept=ACCEPT_FOU),
            _gutless(f"{label}+gutless gue", kind, outer, csum, GRE, HEADER, f"{label}+gue"),
            _gutless(f"{label}+gutless header", kind, outer, csum, GRE, HEADER, f"{label}+gue", profile=(1, FORMAT_GUTLESS, mode)),
        ]
    return found


GROUP = "580400000007"
AUTH = "5b1a0001" + 24 * "00"
"""Of key 1; sequence and tag are filled in."""


def _optioned(label: str, outer: int, protocol: int, plain: str) -> list[Case]:
    """Tunnels with an option in each packet, which the other end requires, by the same tunnel without."""
    found = []
    for name, options in (("group", GROUP + "0100"), ("auth", AUTH)):
        profile = (len(options) // 8 << WORDS_SHIFT | 1, FORMAT_GUTLESS, FULL)
        case = _gutless(f"{label}+gutless {name}", label, outer, "on", protocol, HEADER, f"{label}+gutless {plain}", profile=profile)
        found += [replace(case, options=options, auth=1) if name == "auth" else replace(case, options=options, require=GROUP)]
    return found


def arriving() -> list[Case]:
    """Tunnels that packets come out of, to be forwarded: a link, a port, and what stands in front of the packet inside."""
    found = []
    for label, outer, protocol, inner in (("ipip", 4, IPIP, 4), ("sit", 4, IPV6, 6), ("ip6tnl", 6, IPIP, 4)):
        for csum in ("on", "off"):
            fou = _fou(f"{label}+fou", label, outer, csum, protocol, FOU, inner)
            gue = _fou(f"{label}+gue", label, outer, csum, protocol, GUE, inner)
            bare = _gutless(f"{label}+gutless bare", label, outer, csum, protocol, BARE, fou.name, inner=inner)
            header = _gutless(f"{label}+gutless header", label, outer, csum, protocol, HEADER, gue.name, inner=inner)
            found += [replace(fou, front="nothing"), replace(bare, front="nothing")]
            found += [replace(gue, front="gue"), replace(header, front="gutless")]
        check = _gutless(f"{label}+gutless header, Check", label, outer, "on", protocol, HEADER, f"{label}+gue", inner=inner)
        headers = replace(check, name=check.name + ", headers verified", verify=True)
        found += [replace(check, front="check"), replace(headers, front="check")]
    return found


def _others(outer: int) -> list[Case]:
    found = []
    for kind in ("vxlan", "geneve", "bareudp"):
        found += [Case(kind, "kernel", outer, csum, "", kind) for csum in ("on", "off")]
    return [*found, Case("wireguard", "kernel", outer, "on", "", "wireguard")]


def all_cases() -> list[Case]:
    """Every tunnel of the benchmark, those that are compared beside one another."""
    return [
        *_of_kind("ipip", "ipip", 4, IPIP, 4),
        *_of_kind("sit", "sit", 4, IPV6, 6),
        *_optioned("ipip", 4, IPIP, "bare by profile"),
        *_gre("gre", "gre", 4),
        *_optioned("gre", 4, GRE, "header"),
        *_gre("gretap", "gretap", 4),
        *_others(4),
        *_of_kind("ip6tnl", "ip6tnl", 6, IPIP, 4),
        *_optioned("ip6tnl", 6, IPIP, "bare by profile"),
        *_gre("ip6gre", "ip6gre", 6),
        *_others(6),
    ]


PLAIN = {4: Case("no tunnel", "kernel", 4, "-", inner=4), 6: Case("no tunnel", "kernel", 6, "-", inner=6)}
"""What the way costs by itself."""
