# SPDX-License-Identifier: Apache-2.0
"""Outer checksums that are made from the inner packet's headers: right on the wire, and wrong where it is damaged.

      a, links under test ---- eth0 wire eth0 ---- b, the port       captured at a, offloads off

Packets are put into a link complete, as a router does: with their own checksums, which nobody has
verified on the way. tests/pure/test_csum_c.py asks the arithmetic about every header there is; here the kernel's
packets go through it, linear and not, with each link kind and format.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from capture import Capture, capture
from ends import BARE, HEADER, End, two_ends
from net import Host, Net
from outer import KINDS, MACS
from traffic import wait_until

from gutctl.encap import checksum
from gutctl.model import Accept, Format

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pure"))
import summed
from summed import ICMP, IPV4, IPV6, TCP, UDP, Packet

SOL_PACKET, PACKET_VNET_HDR = 263, 15
ETHERTYPE = {IPV4: 0x0800, IPV6: 0x86DD}
FORMATS = {"fou": (Format.FOU, BARE), "gue": (Format.GUE, HEADER), "gutless": (Format.GUTLESS, HEADER)}
PORTS = {"fou-ip4": 6084, "fou-ip6": 6086, "fou-gre": 6047, "other": 6080}
WHOLE = [p for p in summed.plain((0, 13)) + summed.surplus() + summed.untold() if p.protocol in ETHERTYPE]


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Capture]]:
    with two_ends(module_net) as (a, b, _), capture(a.host, "eth0", frame=512, count=2048) as wire:
        for family in (4, 6):
            b.port(family, PORTS["fou-ip4"], fou=4)
            b.port(family, PORTS["fou-ip6"], fou=41)
            b.port(family, PORTS["fou-gre"], fou=47)
            b.port(family, PORTS["other"], Accept.GUE0, Accept.BARE, Accept.GUTLESS)
        yield a, b, wire


def port(form: str, kind: str, carried: int) -> int:
    """Where the far end takes it: FOU has one port for each protocol."""
    if form != "fou":
        return PORTS["other"]
    return PORTS["fou-gre"] if "gre" in kind else PORTS["fou-ip4" if carried == IPV4 else "fou-ip6"]


@contextmanager
def link(a: End, b: End, kind: str, form: str, carried: int) -> Iterator[int]:
    """A link at both ends; yields the port at b."""
    number, (format, encap) = port(form, kind, carried), FORMATS[form]
    version = KINDS[kind]
    profile = a.profile(format)
    a.tunnel("tun", b.addresses[version], encap, number, number=profile, kind=kind)
    b.tunnel("tun", a.addresses[version], encap, number, kind=kind)
    try:
        yield number
    finally:
        a.clear()
        b.clear()


def emit(host: Host, kind: str, carried: int, octets: list[bytes], linear: int | None = None) -> None:
    """Put packets into the link; ``linear``: octets of each that lie in the head of the kernel's buffer."""
    with host.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        for packet in octets:
            frame = MACS + struct.pack("!H", ETHERTYPE[carried]) + packet if kind.endswith("tap") else packet
            head = struct.pack("=BBHHHH", 0, 0, len(frame) if linear is None else linear, 0, 0, 0)
            sock.sendto(head + frame, ("tun", ETHERTYPE[carried]))


def inner(kind: str, form: str, payload: bytes) -> bytes:
    """The inner IP packet of a UDP payload: the headers between have one length for each kind and format."""
    base = 4 if form == "gue" or (form == "gutless" and "gre" in kind) else 0
    return payload[base + (18 if kind.endswith("tap") else 4 if "gre" in kind else 0) :]


def states(wire: Capture, kind: str, form: str, number: int, count: int) -> dict[bytes, str]:
    """What the wire shows of each inner packet: its outer checksum, ok or bad."""
    found = wire.wait(count, number, outgoing=True)
    assert len(found) == count
    wire.forget()
    return {inner(kind, form, packet.payload): packet.csum for packet in found}


def udp_errors(host: Host) -> int:
    """Datagrams dropped for their checksum, IPv4 and IPv6 together."""
    net = Path("/proc/thread-self/net")
    four, six = host.call(lambda: ((net / "snmp").read_text(), (net / "snmp6").read_text()))
    names, values = (line.split() for line in four.splitlines() if line.startswith("Udp:"))
    lines = dict(line.split() for line in six.splitlines())
    return int(values[names.index("InCsumErrors")]) + int(lines["Udp6InCsumErrors"])


def passed(end: End, number: int, version: int) -> int:
    """Packets that UDP gave to the port, whatever it did with them."""
    found = next(p for p in end.kernel.ports() if (p.key.port, p.key.family) == (number, version))
    return found.stats.packets + sum(found.stats.drops.values())


@pytest.mark.parametrize(("form", "linear"), [("fou", None), ("gue", None), ("gutless", None), ("gutless", 1)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_right_on_the_wire(ends: tuple[End, End, Capture], kind: str, form: str, linear: int | None) -> None:
    """Told or not, padded or not, the headers in one piece or not: every verifier takes it, the far end among them."""
    a, b, wire = ends
    for carried in (IPV4, IPV6):
        packets = [p.octets for p in WHOLE if p.protocol == carried]
        if kind == "ipip" and carried == IPV6:
            continue
        with link(a, b, kind, form, carried) as number:
            errors, before = udp_errors(b.host), passed(b, number, KINDS[kind])
            emit(a.host, kind, carried, packets, linear)
            assert states(wire, kind, form, number, len(packets)) == dict.fromkeys(packets, "ok")
            wait_until(lambda: passed(b, number, KINDS[kind]) - before >= len(packets), what="all at the port")  # noqa: B023
            assert udp_errors(b.host) == errors


def sums(packet: bytes) -> bool:
    """Whether an IP packet's own checksums are right, by a pass over all of it."""
    if packet[0] >> 4 == 4:
        version, protocol, segment = 4, packet[9], packet[20 : int.from_bytes(packet[2:4], "big")]
        ends = packet[12:20]
        if checksum(packet[:20]):
            return False
    else:
        version, protocol, segment = 6, packet[6], packet[40 : 40 + int.from_bytes(packet[4:6], "big")]
        ends = packet[8:40]
    if protocol == UDP:
        segment = segment[: int.from_bytes(segment[4:6], "big")]
    return not checksum(summed.pseudo(version, protocol, len(segment), ends) + segment)


def has_sum(packet: Packet, octets: bytes) -> bool:
    """Whether a damaged packet is still one whose headers say that it has a checksum, and where."""
    if packet.protocol == IPV4:
        plain = octets[0] == 0x45 and not int.from_bytes(octets[6:8], "big") & 0x3FFF
        total, protocol, segment = int.from_bytes(octets[2:4], "big"), octets[9], octets[20:]
        if not plain or total > len(octets):
            return False
        room, least = total - 20, {ICMP: 8, TCP: 20, UDP: 8}
    else:
        room, protocol, segment = int.from_bytes(octets[4:6], "big"), octets[6], octets[40:]
        if octets[0] >> 4 != 6 or room + 40 > len(octets):
            return False
        least = {summed.ICMPV6: 8, TCP: 20, UDP: 8}
    if room < least.get(protocol, 1 << 16):
        return False
    if protocol != UDP:
        return True
    return 8 <= int.from_bytes(segment[4:6], "big") <= room and segment[6:8] != b"\0\0"


DAMAGED = [
    ("sit", "fou", Packet("v4-tcp", IPV4, summed.ip(4, TCP, summed.transport(4, TCP, b"a")), True)),
    ("sit", "gutless", Packet("v6-udp", IPV6, summed.ip(6, UDP, summed.transport(6, UDP, b"abc")), True)),
    ("ip6tnl", "gue", Packet("v4-udp", IPV4, summed.ip(4, UDP, summed.transport(4, UDP, b"abcd") + b"\1\2"), True)),
    ("gretap", "gutless", Packet("v6-icmp", IPV6, summed.ip(6, 58, summed.transport(6, 58, b"abc")), True)),
]


@pytest.mark.parametrize(("kind", "form", "packet"), DAMAGED, ids=str)
def test_damaged_bit_by_bit(ends: tuple[End, End, Capture], kind: str, form: str, packet: Packet) -> None:
    """A damaged packet gets an outer checksum as wrong as it is, and the far end's UDP drops it.

    So no bit that the packet's own checksum is of becomes right by being tunnelled. Where the damage hides that
    there is a checksum, all is summed, and the packet arrives as damaged as it is.
    """
    a, b, wire = ends
    damaged = []
    for bit in range(8 * len(packet.octets)):
        octets = bytearray(packet.octets)
        octets[bit // 8] ^= 0x80 >> bit % 8
        damaged.append(bytes(octets))
    wanted = {octets: "bad" if has_sum(packet, octets) and not sums(octets) else "ok" for octets in damaged}
    bad = list(wanted.values()).count("bad")
    assert bad > len(damaged) / 2 and bad < len(damaged)
    with link(a, b, kind, form, packet.protocol) as number:
        errors, before = udp_errors(b.host), passed(b, number, KINDS[kind])
        emit(a.host, kind, packet.protocol, damaged)
        seen = states(wire, kind, form, number, len(damaged))
        assert {octets.hex(): seen[octets] for octets in damaged} == {
            octets.hex(): wanted[octets] for octets in damaged
        }
        wait_until(lambda: udp_errors(b.host) - errors >= bad, what="the bad ones at the far end's UDP")
        wait_until(lambda: passed(b, number, KINDS[kind]) - before >= len(damaged) - bad, what="the others at the port")
        assert udp_errors(b.host) - errors == bad
        assert passed(b, number, KINDS[kind]) - before == len(damaged) - bad
