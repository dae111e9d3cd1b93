# SPDX-License-Identifier: Apache-2.0
"""docs/howto/from-ip-fou.md is run: every old and every new command of it, compared on the wire, and joined.

      a  ip, in-tree fou  ---- eth0 ---- b  ip, in-tree fou       "old"
      a  gutctl           ---- eth0 ---- b  gutctl                "new"
      a  ip, in-tree fou  ---- eth0 ---- b  gutctl                "mixed"

Three pairs with the same addresses, offloads off. The page's commands are those of a; on b its addresses change
places. What a sends in "old" and in "new" has to be equal, octet by octet.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from capture import capture
from ends import End, two_ends
from frames import ip_of, parse_outer
from net import Host, Net
from tool import gutctl, ok
from traffic import assert_tcp

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "from-ip-fou.md"
ADDRESS = re.compile(r"\b(198\.51\.100\.|10\.9\.0\.|2001:db8::|fd09::)([12])\b")
AUTO = {"old": (32768, 60999), "new": (49152, 65535)}
"""Source ports by flow: net.ipv4.ip_local_port_range as the kernel has it, and ours."""
DATA = b"from ip fou to gutctl"
OCTETS = 100_000
LOOKING, CHANGING, DELETING = "Looking", "Changing", "Deleting"


@dataclass(frozen=True)
class Section:
    """The two blocks of a section, a command a line."""

    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def inner(self) -> tuple[int, ...]:
        """IP versions that the tunnel carries: those it has addresses of."""
        return tuple(version for version, prefix in ((4, " 10.9."), (6, " fd09:")) if any(prefix in line for line in self.old))

    @property
    def says(self) -> str:
        return " ".join(self.old)


def sections() -> dict[str, Section]:
    """By heading. Every block of commands on the page is in one of them."""
    text = PAGE.read_text()
    found = {}
    for part in text.split("\n## ")[1:]:
        blocks = {age: re.findall(rf"```sh {age}\n(.*?)```", part, re.DOTALL) for age in ("old", "new")}
        if any(blocks.values()):
            assert [len(blocks[age]) for age in blocks] == [1, 1], part[:40]
            found[part.splitlines()[0]] = Section(*(tuple(blocks[age][0].splitlines()) for age in ("old", "new")))
    assert 2 * len(found) == text.count("```sh")
    return found


SECTIONS = sections()
TUNNELS = [heading for heading in SECTIONS if heading not in (LOOKING, CHANGING, DELETING)]


@dataclass(frozen=True)
class Pairs:
    """The hosts, and by which commands each is configured."""

    pairs: dict[str, tuple[End, End]]

    def all(self) -> Iterator[tuple[End, str, bool]]:
        """Each host, how it is configured, and whether it is a `b`."""
        for name, (a, b) in self.pairs.items():
            yield a, "new" if name == "new" else "old", False
            yield b, "old" if name == "old" else "new", True


@pytest.fixture(scope="module")
def pairs(gutless: None, module_net: Net) -> Iterator[Pairs]:
    with ExitStack() as stack:
        made = {name: stack.enter_context(two_ends(module_net))[:2] for name in ("old", "new", "mixed")}
        for ends in made.values():
            for end in ends:
                # nothing but what the page makes speaks IPv6 without being asked
                end.host.sysctl(ipv6__conf__default__router_solicitations=0)
        yield Pairs(made)


def swapped(line: str) -> str:
    return ADDRESS.sub(lambda m: m[1] + "21"[int(m[2]) - 1], line)


def carry_out(host: Host, lines: tuple[str, ...], other: bool) -> str:
    """Run commands of the page at one end; what they print."""
    mine = [swapped(line) if other else line for line in lines]
    if all(line.startswith("ip ") for line in mine):
        return "".join(host.run(*shlex.split(line)).stdout for line in mine if " show" in line) or host.ip(
            *(line.removeprefix("ip ") for line in mine)
        )
    assert all(line.startswith("gutctl ") for line in mine), mine
    return "".join(ok(gutctl(*shlex.split(line)[1:], netns=host)).out for line in mine)


def undone(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The commands that take away what others made, the last first, by what the page says of deleting."""
    made = []
    for line in reversed(lines):
        if line.startswith("ip fou add"):
            made.append(re.sub(r" (ipproto \d+|gue)\b", "", line.replace("add", "del", 1)))
        elif line.startswith("ip link add"):
            made.append("ip link del tun")
        elif line.startswith("gutctl port add"):
            made.append(re.sub(r" (--accept \S+|--from \S+|--any-source)", "", line.replace("add", "del", 1)))
        elif line.startswith("gutctl tunnel add"):
            made.append("gutctl tunnel del tun")
    return tuple(made)


@contextmanager
def running(pairs: Pairs, heading: str) -> Iterator[None]:
    """A section's tunnels, on all pairs. Afterwards nothing of them is left."""
    section = SECTIONS[heading]
    done = []
    try:
        for end, age, other in pairs.all():
            carry_out(end.host, getattr(section, age), other)
            done.append((end, age, other))
        yield
    finally:
        for end, age, other in done:
            carry_out(end.host, undone(getattr(section, age)), other)
            assert (end.kernel.ports(), end.kernel.profiles(), end.host.ip("fou show").strip()) == ([], [], "")
            assert end.kernel.link("tun") is None


@dataclass(frozen=True)
class Sent:
    """What of an outer packet does not depend on the moment."""

    version: int
    dscp_ecn: int
    hops: int
    dont_fragment: bool
    sport: int | str
    dport: int
    csum: str
    payload: bytes


def exchange(pairs: Pairs, name: str, version: int) -> None:
    """A datagram from a to b through the tunnel, and back."""
    a, b = pairs.pairs[name]
    with a.host.udp(a.inner[version], 4000) as here, b.host.udp(b.inner[version], 5000) as there:
        here.sendto(DATA, (b.inner[version], 5000))
        assert there.recv(100) == DATA
        there.sendto(DATA, (a.inner[version], 4000))
        assert here.recv(100) == DATA


def without_ident(payload: bytes) -> bytes:
    """An inner IPv4 packet's number is random; it and the header's checksum are left out."""
    at = len(payload) - len(DATA) - 28
    return payload[: at + 4] + bytes(2) + payload[at + 6 : at + 10] + bytes(2) + payload[at + 12 :]


def sent(pairs: Pairs, name: str, section: Section) -> dict[int, Sent]:
    """The outer packet of each inner version's datagram from a."""
    found = {}
    for version in section.inner:
        with capture(pairs.pairs[name][0].host, "eth0", count=64) as wire:
            exchange(pairs, name, version)
            seen = [parse_outer(p) for p in map(ip_of, wire.packets(outgoing=True)) if p and DATA in p]
            raw = [p for p in map(ip_of, wire.packets(outgoing=True)) if p and DATA in p]
        assert len(seen) == 1 and seen[0] is not None
        outer = seen[0]
        sport: int | str = outer.sport
        if "encap-sport auto" in section.says:
            low, high = AUTO[name]
            assert low <= outer.sport <= high
            sport = "auto"
        payload = outer.payload
        if "gretap" in section.says:
            at = payload.index(b"\x65\x58") + 2  # behind GRE's protocol; addresses of devices are random
            payload = payload[:at] + bytes(12) + payload[at + 12 :]
        if version == 4:
            payload = without_ident(payload)
        fragment = outer.ip.version == 4 and bool(raw[0][6] & 0x40)
        found[version] = Sent(
            outer.ip.version, outer.ip.dscp_ecn, outer.ip.hops, fragment, sport, outer.dport, outer.csum, payload
        )
    return found


@pytest.mark.parametrize("heading", TUNNELS)
def test_the_same_on_the_wire(pairs: Pairs, heading: str) -> None:
    """And an old end with a new one: datagrams, and a stream in both directions, without a drop."""
    section = SECTIONS[heading]
    with running(pairs, heading):
        old = sent(pairs, "old", section)
        assert sent(pairs, "new", section) == old
        assert {one.csum for one in old.values()} == {"none" if " noencap-" in section.says else "ok"}
        if "remcsum" in section.says:
            assert {one.payload[:1] + one.payload[2:8] for one in old.values()} == {b"\x02\0\x01\x80\0\0\0"}
        a, b = pairs.pairs["mixed"]
        for version in section.inner:
            exchange(pairs, "mixed", version)
            assert_tcp(a.host, b.host, b.inner[version], OCTETS)
            assert_tcp(b.host, a.host, a.inner[version], OCTETS)
        for end in (*pairs.pairs["new"], b):
            (port,) = end.kernel.ports()
            assert port.stats.packets
            assert not {reason: n for reason, n in port.stats.drops.items() if n}


@pytest.fixture
def leftovers(pairs: Pairs) -> Iterator[None]:
    """What a test that failed left is no trouble of the next one's."""
    yield
    for end, _, _ in pairs.all():
        if end.kernel.link("tun") is not None:
            end.kernel.link_del("tun")
        for port in end.kernel.ports():
            end.kernel.port_del(port.key)
        for number in ("5555", "6080", "6081"):
            end.host.run("ip", "fou", "del", "port", number, check=False)


def test_looking_changing_deleting(pairs: Pairs, leftovers: None) -> None:
    """The page's commands for a tunnel that runs."""
    start = SECTIONS["Either in GUE"]
    everywhere = list(pairs.all())
    for end, age, other in everywhere:
        carry_out(end.host, getattr(start, age), other)
    for end, age, other in everywhere:
        told = carry_out(end.host, getattr(SECTIONS[LOOKING], age), other)
        assert "6080" in told and "gue" in told
        carry_out(end.host, getattr(SECTIONS[CHANGING], age), other)
    for name in pairs.pairs:
        exchange(pairs, name, 4)
        exchange(pairs, name, 6)
    after = {name: sent(pairs, name, start) for name in ("old", "new")}
    assert after["old"] == after["new"]
    assert {one.dport for one in after["old"].values()} == {6081}
    for end, age, other in everywhere:
        carry_out(end.host, getattr(SECTIONS[DELETING], age), other)
        assert (end.kernel.ports(), end.kernel.profiles(), end.host.ip("fou show").strip()) == ([], [], "")
        assert end.kernel.link("tun") is None


def row(beginning: str) -> tuple[str, str]:
    """The cells of a row of the page's table."""
    (line,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {beginning} |")]
    old, new = (cell.strip() for cell in line.split("|")[2:4])
    return old, new


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_what_they_say(pairs: Pairs, leftovers: None) -> None:
    """The same again, what is absent, and somebody else's port: as the page's table quotes them."""
    old, new = (pairs.pairs[age][0].host for age in ("old", "new"))
    section = SECTIONS["IPv4 in FOU"]
    carry_out(old, section.old, False)
    carry_out(new, section.new, False)
    in_use, exists = quoted(row("the same again")[0])
    (unchanged,) = quoted(row("the same again")[1])
    assert in_use in old.run(*shlex.split(section.old[0]), check=False).stderr
    assert exists in old.run(*shlex.split(section.old[1]), check=False).stderr
    again = gutctl(*shlex.split(section.new[0])[1:], netns=new)
    assert (again.code, unchanged in again.out) == (0, True)
    differs = gutctl(*shlex.split(section.new[0])[1:], "--ttl", 9, netns=new)
    assert differs.code == 3 and "ttl" in differs.err
    carry_out(old, undone(section.old), False)
    carry_out(new, undone(section.new), False)

    invalid, no_device = quoted(row("absent")[0])
    assert invalid in old.run("ip", "fou", "del", "port", "5555", check=False).stderr
    assert no_device in old.run("ip", "link", "del", "tun", check=False).stderr
    assert gutctl("tunnel", "del", "tun", netns=new).code == 0
    assert "absent" in gutctl("tunnel", "del", "tun", netns=new).out
    assert gutctl("tunnel", "del", "tun", "--must-exist", netns=new).code == 5

    with old.udp("", 5555), new.udp("", 5555):
        (in_use,) = quoted(row("somebody else's port")[0])
        assert in_use in old.run(*shlex.split(section.old[0]), check=False).stderr
        assert gutctl(*shlex.split(section.new[0])[1:], netns=new).code == 4
    assert old.ip("fou show").strip() == ""
