# SPDX-License-Identifier: Apache-2.0
"""What the module puts on the wire is what the captures in tests/pure/captures hold, which dissectors are tested on.

      a, a link for each case ---- eth0 wire eth0 ---- b        captured at a, offloads off

Fresh ones are left in /results/captures. What differs from run to run is masked: outer identification and flow label, times.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from difflib import unified_diff
from itertools import zip_longest
from pathlib import Path

import pytest
from capture import Capture, capture
from ends import BARE, HEADER, End, two_ends
from frames import UDP, ip_of, parse_ip, parse_outer
from merging import framed, put_frames
from net import Net
from vnet import NEEDS_CSUM, Packet, put

from gutctl.dissect import Ports, dissect_packet
from gutctl.encap import Gutless, Option, checksum, decode, encode, udp_checksum
from gutctl.model import Csum, Format

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pure"))
from capture_cases import CASES, CHECK_AT, FOLDER, FOU_PORT, PORT, RENEW, Case, Inner, inners

FRESH = Path("/results/captures")
RAW = 101
TIMING = 0x1C


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Capture]]:
    with two_ends(module_net) as (a, b, _), capture(a.host, "eth0") as wire:
        yield a, b, wire


def masked(packet: bytes) -> bytes:
    """A packet with what varies as 0, and checksums that are right for it. They were right before."""
    outer = parse_outer(packet)
    assert outer is not None and outer.csum in ("ok", "none")
    payload = outer.payload
    if payload[0] >> 6 == 2:
        decoded = decode(payload)
        assert isinstance(decoded.header, Gutless)
        options = tuple(_timeless(option) for option in decoded.header.options)
        payload = encode(Gutless(decoded.header.protocol, options, decoded.header.check), decoded.payload)
    head = 20 if outer.ip.version == 4 else 40
    udp = packet[head : head + 6] + b"\0\0" + payload
    if outer.csum == "ok":
        udp = udp[:6] + udp_checksum(outer.ip.source, outer.ip.destination, udp).to_bytes(2, "big") + udp[8:]
    if head == 40:
        return bytes((packet[0], packet[1] & 0xF0, 0, 0)) + packet[4:40] + udp
    ip = packet[:4] + b"\0\0" + packet[6:10] + b"\0\0" + packet[12:20]
    return ip[:10] + checksum(ip).to_bytes(2, "big") + ip[12:] + udp


def _timeless(option: Option) -> Option:
    return Option(TIMING, option.data[:4] + bytes(8)) if option.type == TIMING else option


def to_pcap(packets: list[bytes]) -> bytes:
    """All at the time 0."""
    head = struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, RAW)
    return head + b"".join(struct.pack("!IIII", 0, 0, len(one), len(one)) + one for one in packets)


def to_put(inner: Inner) -> Packet:
    """With what is left to do said."""
    header = struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, inner.start, CHECK_AT[inner.protocol]) if inner.partial else bytes(10)
    return Packet(inner.data, header, b"", inner.version)


def sent(a: End, b: End, wire: Capture, case: Case) -> list[bytes]:
    """What a link of a case puts on the wire."""
    number = a.profile(Format(case.form), Csum(case.csum), (50164, 50164), options=case.options)
    encap = BARE if case.bare else HEADER
    a.tunnel("tun", b.addresses[case.outer], encap, case.dport, number=number, kind=case.kind)
    wire.forget()
    packets = [to_put(inner) for version in case.versions for inner in inners(version)]
    for count, packet in enumerate(packets, 1):
        if case.kind.endswith("tap"):
            put_frames(a.host, "tun", framed(packet))
        else:
            put(a.host, "tun", packet)
        wire.wait(count, case.dport, outgoing=True)
    a.clear()
    seen = [data for frame in wire.packets(outgoing=True) if (data := ip_of(frame)) and parse_ip(data).protocol == UDP]
    assert len(seen) == len(packets)
    return seen


def difference(case: Case, fresh: list[bytes]) -> str:
    """The first packet that is another, header by header."""
    kept = case.packets() if case.file.exists() else []
    ports = Ports(frozenset({PORT}), {FOU_PORT: 4})
    for number, (old, new) in enumerate(zip_longest(kept, fresh, fillvalue=b""), 1):
        if old != new:
            before, now = (list(dissect_packet(one, ports).lines()) if one else [] for one in (old, new))
            return f"packet {number}\n" + "\n".join(unified_diff(before, now, "kept", "fresh", lineterm="", n=1))
    return "the file's head"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_wire_is_as_captured(ends: tuple[End, End, Capture], case: Case) -> None:
    packets = [masked(packet) for packet in sent(*ends, case)]
    fresh = to_pcap(packets)
    FRESH.mkdir(exist_ok=True)
    (FRESH / case.file.name).write_bytes(fresh)
    if not case.file.exists() or fresh != case.file.read_bytes():
        pytest.fail(f"{case.file.name} is not what the module sends. If that is meant: {RENEW}\n{difference(case, packets)}")


def test_no_capture_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {case.file.name for case in CASES}
