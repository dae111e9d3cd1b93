# SPDX-License-Identifier: Apache-2.0
"""The Check word that a profile with checksum mode neutral sends: one UDP checksum that holds by either rule.

      a, links under test ---- eth0 wire eth0 ---- b, the port       captured at a, offloads off

tests/pure/summed.py makes the packets; gutctl.encap says what Check has to be.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from capture import Capture, capture
from ends import BARE, HEADER, End, two_ends
from frames import TCP, UDP, Outer, parse_ip
from net import Host, Net
from outer import KINDS, MACS, NOBODY, emit, ip
from traffic import wait_until
from vnet import NEEDS_CSUM, put, single, tcp_super

from gutctl._wire.options import Option, pad
from gutctl.encap import Gutless, compute_check, decode, encode, ones_sum, udp_checksum
from gutctl.errors import GutctlError
from gutctl.ext_api import parse_option
from gutctl.model import ONE_BY_ONE, Accept, Csum, Format, PortKey, Rule

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pure"))
import summed
from summed import IPV4, IPV6

SOL_PACKET, PACKET_VNET_HDR = 263, 15
ETHERTYPE = {IPV4: 0x0800, IPV6: 0x86DD}
NUMBER = 6080
WHOLE = [p for p in summed.plain((0, 1, 13)) + summed.surplus() + summed.untold() if p.protocol in ETHERTYPE]
GROUP, SESSION, TIMING = parse_option("group=7"), parse_option("session=1,target=2"), parse_option("timing")


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Capture]]:
    with two_ends(module_net) as (a, b, _), capture(a.host, "eth0", count=2048) as wire:
        for family in (4, 6):
            b.port(family, NUMBER, Accept.GUTLESS)
        yield a, b, wire


@pytest.fixture(autouse=True)
def cleared(ends: tuple[End, End, Capture]) -> Iterator[None]:
    yield
    ends[0].clear()
    ends[2].forget()


def neutral(outer: Outer) -> Gutless:
    """The header of a packet, which is neutral and whose UDP checksum is the same by both rules."""
    header = outer.decode().header
    assert isinstance(header, Gutless)
    assert header.check == compute_check(outer.payload) != 0
    assert ones_sum(outer.payload) == 0xFFFF
    assert outer.csum == "ok"
    # the other rule: the pseudo-header, with the length of all, and UDP's header alone
    head = struct.pack("!HHHH", outer.sport, outer.dport, 8 + len(outer.payload), 0)
    whole = udp_checksum(outer.ip.source, outer.ip.destination, head + outer.payload)
    pseudo = outer.ip.source.packed + outer.ip.destination.packed + struct.pack("!HH", UDP, 8 + len(outer.payload))
    assert whole == (~ones_sum(pseudo + head) & 0xFFFF or 0xFFFF)
    return header


def sent(wire: Capture, count: int) -> list[Outer]:
    """That many packets, all of them neutral."""
    found = wire.wait(count, NUMBER, outgoing=True)
    assert len(found) == count
    wire.forget()
    for outer in found:
        neutral(outer)
    return found


def put_whole(host: Host, kind: str, carried: int, octets: list[bytes], linear: int | None = None) -> None:
    """Packets with their checksums, as a router forwards them; ``linear``: octets in the head of the kernel's buffer."""
    with host.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        for packet in octets:
            frame = MACS + struct.pack("!H", ETHERTYPE[carried]) + packet if kind.endswith("tap") else packet
            head = struct.pack("=BBHHHH", 0, 0, len(frame) if linear is None else linear, 0, 0, 0)
            sock.sendto(head + frame, ("tun", ETHERTYPE[carried]))


@pytest.mark.parametrize("linear", [None, 1], ids=["linear", "apart"])
@pytest.mark.parametrize("kind", KINDS)
def test_packets_of_every_protocol(ends: tuple[End, End, Capture], kind: str, linear: int | None) -> None:
    """Whatever the headers tell, and what only a pass over the packet does; the far end's UDP takes all of them."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL)
    a.tunnel("tun", b.addresses[KINDS[kind]], HEADER, NUMBER, number=number, kind=kind)
    for carried in (IPV4, IPV6):
        packets = [p.octets for p in WHOLE if p.protocol == carried]
        if kind == "ipip" and carried == IPV6:
            continue
        wire.forget()
        before = passed(b, KINDS[kind])
        put_whole(a.host, kind, carried, packets, linear)
        found = sent(wire, len(packets))
        assert all(outer.payload.endswith(packet) for outer, packet in zip(found, packets, strict=True))
        wait_until(lambda: passed(b, KINDS[kind]) - before >= len(packets), what="all at the port")  # noqa: B023
        assert "check" not in b.drops(PortKey(KINDS[kind], NUMBER))


def passed(end: End, version: int) -> int:
    """Packets that UDP gave to the port, whatever it did with them."""
    found = end.kernel.port(PortKey(version, NUMBER))
    assert found is not None
    return found.stats.packets + sum(found.stats.drops.values())


@pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("partial", [False, True], ids=["complete", "partial"])
@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("family", [4, 6])
def test_checksums_there_and_to_be_made(
    ends: tuple[End, End, Capture], family: int, inner: int, partial: bool, protocol: int
) -> None:
    """Of all lengths to 33 octets and some to the MTU. What the device has still to sum is told by its headers."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL, options=(GROUP, SESSION))
    a.tunnel("tun", b.addresses[family], HEADER, NUMBER, number=number)
    packets = [
        single(a.inner[inner], NOBODY[inner], protocol, size, partial=partial) for size in [*range(34), 1299, 1300]
    ]
    wire.forget()
    put(a.host, "tun", *packets)
    for outer, packet in zip(sent(wire, len(packets)), packets, strict=True):
        found = outer.inner()
        assert found.payload.endswith(packet.payload)
        assert [o for o in neutral(outer).options if not o.padding] == [GROUP, SESSION]
        # and the inner checksum has been made
        assert not summed_wrong(outer.decode().payload)


def summed_wrong(packet: bytes) -> int:
    """The checksum over a TCP or UDP packet that has its own: 0 where it is right."""
    found = parse_ip(packet)
    pseudo = found.source.packed + found.destination.packed + struct.pack("!II", len(found.payload), found.protocol)
    return ~ones_sum(pseudo + found.payload) & 0xFFFF


@pytest.mark.parametrize(("start", "offset"), [(21, 5), (20, 7), (23, 0), (0, 12), (20, 16), (30, 20)])
def test_a_checksum_at_any_place(ends: tuple[End, End, Capture], start: int, offset: int) -> None:
    """What a virtual machine asks for: an odd place tells nothing, and the checksum is made before Check is."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL)
    a.tunnel("tun", b.addresses[4], HEADER, NUMBER, number=number)
    packet = single(a.inner[4], NOBODY[4], TCP, 40, partial=False).data
    wire.forget()
    with a.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        head = struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, start, offset)
        try:
            sock.sendto(head + packet, ("tun", 0x0800))
        except OSError as refused:
            # Newer kernels let nobody ask for a sum that begins in front of the transport header.
            assert (refused.errno, start) == (errno.EINVAL, 0)
            return
    (outer,) = sent(wire, 1)
    inner = outer.decode().payload
    at = start + offset
    assert inner[:at] + packet[at : at + 2] + inner[at + 2 :] == packet
    assert ones_sum(packet[start:]) == ~int.from_bytes(inner[at : at + 2], "big") & 0xFFFF if not offset % 2 else True


@pytest.mark.parametrize("family", [4, 6])
def test_a_socket_of_sctp(ends: tuple[End, End, Capture], family: int) -> None:
    """Its CRC is there when Check is made: no header tells the sum of that."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL)
    a.tunnel("tun", b.addresses[family], HEADER, NUMBER, number=number, inner=(4,))
    wire.forget()
    with a.host.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as sock:
        sock.setblocking(False)
        sock.connect_ex((NOBODY[4], 5000))
        found = wire.wait(1, NUMBER, outgoing=True)
        neutral(found[0])
        assert found[0].inner().protocol == 132
        assert crc32c(zeroed(found[0].inner().payload)) == found[0].inner().payload[8:12]


def zeroed(chunk: bytes) -> bytes:
    return chunk[:8] + bytes(4) + chunk[12:]


def crc32c(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return (~crc & 0xFFFFFFFF).to_bytes(4, "little")


@pytest.mark.parametrize("family", [4, 6])
def test_a_computed_zero(ends: tuple[End, End, Capture], family: int) -> None:
    """Check 0 would say that it is not used: where the rest sums to minus zero already, it is 0xffff."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL)
    a.tunnel("tun", b.addresses[family], HEADER, NUMBER, number=number)
    packets = []
    for sport in range(4000, 4003):
        packet = bytearray(ip(a.inner[4], NOBODY[4], sport=sport))
        # a datagram without checksum, whose last word makes up for all the others
        packet[26:28] = packet[34:36] = b"\0\0"
        packet[34:36] = (~ones_sum(encode(Gutless(4), bytes(packet))) & 0xFFFF).to_bytes(2, "big")
        packets.append(bytes(packet))
    wire.forget()
    emit(a.host, "tun", "sit", packets)
    assert [neutral(outer).check for outer in sent(wire, 3)] == [0xFFFF] * 3


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "options",
    [
        (TIMING,),
        (parse_option("min-path-mtu=0"), GROUP),
        (Option(0x3E, bytes(range(122))),),
        (TIMING, Option(0x1E, b"\xff\xfe\xfd")),
    ],
    ids=["timing", "mtu", "long", "odd"],
)
def test_options_are_summed(ends: tuple[End, End, Capture], family: int, options: tuple[Option, ...]) -> None:
    """Those that the kernel fills in, too, and after they are."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL, options=options)
    a.tunnel("tun", b.addresses[family], HEADER, NUMBER, number=number)
    wire.forget()
    emit(a.host, "tun", "sit", [ip(a.inner[4], NOBODY[4], sport=4000 + n) for n in range(20)])
    for n, outer in enumerate(sent(wire, 20)):
        header = neutral(outer)
        assert len(encode(header)) == 4 + sum(o.octets for o in pad(options))
        if TIMING in options:
            assert int.from_bytes(header.options[0].data[:4], "big") == n


@pytest.mark.parametrize("family", [4, 6])
def test_large_packets_are_segmented_before(ends: tuple[End, End, Capture], family: int) -> None:
    """Each segment has a Check of its own, or there is none: a link that was not told to drops and counts them."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL)
    a.tunnel("tun", b.addresses[family], HEADER, NUMBER, number=number, mtu=1400)
    big = tcp_super(a.inner[4], NOBODY[4], 6001, 1000)
    put(a.host, "tun", big)
    wait_until(lambda: a.tx_drops(number) == {"super-packet": 6}, what="six packets dropped")
    a.kernel.link_set("tun", gso_segments=ONE_BY_ONE)
    wire.forget()
    put(a.host, "tun", big)
    checks = {neutral(outer).check for outer in sent(wire, 6)}
    assert len(checks) > 1
    assert a.tx_drops(number) == {"super-packet": 6}


def test_a_rule_may_choose_it(ends: tuple[End, End, Capture]) -> None:
    """By mark, among those of a link that has room for a header."""
    a, b, wire = ends
    other = a.profile(Format.GUTLESS, Csum.NEUTRAL)
    number = a.profile(Format.GUTLESS, rules=(Rule(0, other),))
    a.tunnel("tun", b.addresses[4], HEADER, NUMBER, number=number)
    wire.forget()
    emit(a.host, "tun", "sit", [ip(a.inner[4], NOBODY[4])])
    sent(wire, 1)
    assert a.sent(other) == 1


def test_a_link_without_room_for_it(ends: tuple[End, End, Capture]) -> None:
    a, b, _ = ends
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL)
    a.tunnel("tun", b.addresses[4], BARE, NUMBER, number=number)
    emit(a.host, "tun", "sit", [ip(a.inner[4], NOBODY[4])])
    wait_until(lambda: a.tx_drops(number) == {"format": 1}, what="the drop counted")


@pytest.mark.parametrize("format", [Format.FOU, Format.GUE])
def test_of_gutless_alone(ends: tuple[End, End, Capture], format: Format) -> None:
    a, _, _ = ends
    with pytest.raises(GutctlError, match="only format GUT-less has a Check word"):
        a.profile(format, Csum.NEUTRAL)
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL)
    with pytest.raises(GutctlError, match="only format GUT-less has a Check word"):
        a.kernel.profile_set(number, format=format)
    found = a.kernel.profile(number)
    assert found is not None and (found.format, found.csum) == (Format.GUTLESS, Csum.NEUTRAL)


def test_on_and_off_while_it_runs(ends: tuple[End, End, Capture]) -> None:
    a, b, wire = ends
    number = a.profile(Format.GUTLESS)
    a.tunnel("tun", b.addresses[4], HEADER, NUMBER, number=number)
    wire.forget()
    for csum in (Csum.NEUTRAL, Csum.FULL, Csum.NEUTRAL):
        a.kernel.profile_set(number, csum=csum)
        emit(a.host, "tun", "sit", [ip(a.inner[4], NOBODY[4])])
    found = [decode(outer.payload).header for outer in wire.wait(3, NUMBER, outgoing=True)]
    assert [isinstance(header, Gutless) and header.check != 0 for header in found] == [True, False, True]
