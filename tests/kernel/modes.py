# SPDX-License-Identifier: Apache-2.0
"""Tunnels of every mode, made by ``gutctl tunnel add`` at both ends, and the octets they promise.

      a                                              b
    +--------------------------+                   +--------------------------+
    | west  10.9.0.1/30        |                   | west  10.9.0.2/30        |
    |       fd09::1/64         |   eth0 ---- eth0  |       fd09::2/64         |
    | port 6080                |   offloads off    | port 6080 (captured)     |
    +--------------------------+                   +--------------------------+
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ends import End
from net import Host
from tool import gutctl, ok

from gutctl.dissect import Dissection, Layer, Ports, dissect_frame
from gutctl.model import Port, PortKey

ETHERNET = 1
"""LINKTYPE of a capture at eth0."""
PORT = 6080
INNER = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}
KINDS = {("ip", 4): "sit", ("gre", 4): "gre", ("eth", 4): "gretap",
         ("ip", 6): "ip6tnl", ("gre", 6): "ip6gre", ("eth", 6): "ip6gretap"}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A tunnel as its two commands ask for it."""

    mode: str
    form: str
    outer: int
    csum: str = "full"
    only: int | None = None
    """The IP version inside, where there can be one alone."""

    def __str__(self) -> str:
        return f"{self.mode}-{self.form}-over{self.outer}-{self.csum}" + (f"-ipv{self.only}" if self.only else "")

    @property
    def versions(self) -> tuple[int, ...]:
        """IP versions that go through it."""
        return (4, 6) if self.only is None else (self.only,)

    @property
    def words(self) -> tuple[str, ...]:
        """What ``tunnel add`` is told besides name, ends and addresses."""
        words = ["--mode", self.mode, "--format", self.form, "--csum", self.csum]
        return (*words, "--inner", f"ipv{self.only}") if self.only else tuple(words)

    @property
    def kind(self) -> str:
        """The link that has to come out."""
        return "ipip" if (self.outer, self.only) == (4, 4) else KINDS[self.mode, self.outer]

    @property
    def remote(self) -> bool:
        """Whether inner checksums are left to the receiver."""
        return self.csum.startswith("remote")

    @property
    def overhead(self) -> int:
        """Octets that are added to an inner IP packet; an Ethernet header inside counts."""
        words = {"remote": 2, "remote-draft": 1}.get(self.csum, 0)
        base = 4 + 4 * words if self.form == "gue" or (self.form == "gutless" and (self.mode != "ip" or words)) else 0
        return {4: 20, 6: 40}[self.outer] + 8 + base + {"ip": 0, "gre": 4, "eth": 18}[self.mode]

    @property
    def ports(self) -> Ports:
        """For the dissection."""
        if self.form != "fou":
            return Ports(frozenset({PORT}))
        protocol = {4: 4, 6: 41}[self.only] if self.only else 47
        return Ports(frozenset(), {PORT: protocol})

    def layers(self, pending: bool) -> list[str]:
        """Headers up to the inner packet. ``pending``: its checksum is left to the receiver."""
        form = {"fou": "fou", "gue": "gue0", "gutless": "gutless"}[self.form]
        if form == "gutless" and self.mode == "ip" and not pending:
            form = "bare"
        inside = {"ip": [], "gre": ["gre"], "eth": ["gre", "ethernet"]}[self.mode]
        return ["ethernet", f"ipv{self.outer}", "udp", form, *inside]


def field(layer: Layer, name: str) -> Any:
    """A field's value, None where the header has none."""
    return next((item.value for item in layer.fields if item.name == name), None)


class Running:
    """A case between two ends."""

    def __init__(self, case: Case, a: End, b: End) -> None:
        self.case, self.a, self.b = case, a, b

    def port(self, end: End) -> Port:
        """The port that receives for the tunnel."""
        port = end.kernel.port(PortKey(self.case.outer, PORT))
        assert port is not None
        return port

    def judge(self, frames: list[bytes], version: int) -> dict[str, list[Dissection]]:
        """All packets of the tunnel, by their last header (tcp, icmp, icmp6): as promised, every octet.

        Those that are not IP of that version (neighbour discovery, ARP) have the same outer headers, and are
        looked at as far as these go.
        """
        found: dict[str, list[Dissection]] = {}
        for frame in frames:
            seen = dissect_frame(ETHERNET, frame, self.case.ports)
            kinds = [layer.kind for layer in seen.layers]
            if "udp" not in kinds[:3]:
                assert not {"gre", "ipv4", "ipv6"} & set(kinds[2:]), f"a plain packet on the wire: {kinds}"
                continue
            assert seen.problem is None, (kinds, seen.problem)
            state = field(seen.layers[2], "checksum_state")
            assert state == ("none" if self.case.csum == "zero" else "ok"), (kinds, state)
            pending = field(seen.layers[-1], "checksum_state") == "remote"
            promised = self.case.layers(pending)
            assert kinds[: len(promised)] == promised, (kinds, promised)
            if kinds[len(promised) : -1] == [f"ipv{version}"]:
                found.setdefault(kinds[-1], []).append(seen)
        return found


def tunnel_add(host: Host, remote: str, case: Case, number: int, *words: object) -> str:
    """``gutctl tunnel add west`` at one end; what it said."""
    addresses = [f"{INNER[version][number]}/{ {4: 30, 6: 64}[version]}" for version in case.versions]
    given = [word for cidr in addresses for word in ("--address", cidr)]
    return ok(gutctl("tunnel", "add", "west", "--remote", remote, *given, *case.words, *words, netns=host)).out


@contextmanager
def running(case: Case, a: End, b: End) -> Iterator[Running]:
    """The tunnel at both ends. Afterwards nothing of it is left, and nothing was dropped on its way."""
    made = Running(case, a, b)
    pairs = ((a, b, 0), (b, a, 1))
    try:
        for end, other, number in pairs:
            tunnel_add(end.host, other.addresses[case.outer], case, number)
        yield made
        for end, _, _ in pairs:
            port = made.port(end)
            assert not {reason: n for reason, n in port.stats.drops.items() if n}, (end.host, port.stats.drops)
            for stats in (end.kernel.info().plain, *(profile.stats for profile in end.kernel.profiles())):
                assert not {reason: n for reason, n in stats.drops.items() if n}, (end.host, stats.drops)
    finally:
        sweep(b)
        ok(gutctl("tunnel", "del", "west", netns=a.host))
        assert (a.kernel.ports(), a.kernel.profiles()) == ([], [])


def sweep(end: End) -> None:
    """Delete what ``tunnel add`` has made, not with the tool, which takes its time."""
    for link in end.kernel.links():
        if link.alias.startswith("gutless"):
            end.kernel.link_del(link.name)
    for port in end.kernel.ports():
        end.kernel.port_del(port.key)
    for profile in end.kernel.profiles():
        end.kernel.profile_del(profile.number)
