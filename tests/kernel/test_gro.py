# SPDX-License-Identifier: Apache-2.0
"""Merging of received packets: it happens, the port counts segments, and what differs stays apart.

      a                                                 b
    +--------------------------+                      +----------------------------+
    | tun; or a UDP socket of  |   eth0 ------ eth0   | ports 6080, 6081, 6082     |
    | Python that makes every  |   a: offloads off    | tun, its own merging off:  |
    | octet itself             |   b: gro on or off   | captured here              |
    +--------------------------+                      +----------------------------+

Merging takes place on a veth only where the sender segments for itself, so a's offloads are off.
Tunnel devices merge as well (gro_cells): that is off, so that what is merged, the port has merged.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from bulk import stream
from capture import capture
from ends import BARE, HEADER, End, features, two_ends
from frames import TCP, make_ip, parse_ip, parse_tcp
from net import Net, run
from traffic import assert_tcp, wait_until

from gutctl.encap import Bare, Gue, Gutless, Header, Option, encode, pad, seal, transport_checksum
from gutctl.model import Csum, Format

MTU = 1500
OCTETS = 400_000
PROTOCOL = {4: 4, 6: 41}
SIZE = 1000
COUNT = 8


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net) as (a, b, _):
        for end in (a, b):
            for family in (4, 6):
                end.port(family, 6080)
                end.port(family, 6081, fou=4)
                end.port(family, 6082, fou=41)
        yield a, b


@pytest.fixture(autouse=True)
def cleared(ends: tuple[End, End]) -> Iterator[None]:
    yield
    for end in ends:
        end.clear()


def merging(end: End, device: str, on: bool) -> None:
    end.host.run("ethtool", "-K", device, "gro", "on" if on else "off")
    assert features(end.host, device)["generic-receive-offload"] is on


@pytest.mark.parametrize("on", (True, False), ids=("on", "off"))
@pytest.mark.parametrize(
    ("format", "encap", "outer", "inner", "csum", "kind"),
    [
        (Format.FOU, BARE, 4, 4, Csum.FULL, None),
        (Format.FOU, BARE, 6, 6, Csum.ZERO, None),
        (Format.GUE, HEADER, 4, 6, Csum.FULL, None),
        (Format.GUE, HEADER, 6, 4, Csum.FULL, None),
        (Format.GUE, HEADER, 4, 4, Csum.ZERO, None),
        (Format.GUTLESS, BARE, 4, 4, Csum.FULL, None),
        (Format.GUTLESS, BARE, 4, 6, Csum.ZERO, None),
        (Format.GUTLESS, BARE, 6, 6, Csum.FULL, None),
        (Format.GUTLESS, HEADER, 4, 4, Csum.FULL, "gre"),
        (Format.GUTLESS, HEADER, 6, 4, Csum.FULL, "ip6gre"),
    ],
    ids=str,
)
def test_bulk_tcp(
    ends: tuple[End, End], format: Format, encap: int, outer: int, inner: int, csum: Csum, kind: str | None, on: bool
) -> None:
    a, b = ends
    port = {4: 6081, 6: 6082}[inner] if format is Format.FOU else 6080
    for end, other in ((a, b), (b, a)):
        number = end.profile(format, csum)
        end.tunnel("tun", other.addresses[outer], encap, port, number=number, kind=kind, inner=(inner,))
    merging(b, "eth0", on)
    merging(b, "tun", False)
    key = next(p.key for p in b.kernel.ports() if (p.key.family, p.key.port) == (outer, port))
    before = b.received(key)
    with capture(a.host, "eth0") as wire, capture(b.host, "tun", frame=1 << 17, count=768) as device:
        done = assert_tcp(a.host, b.host, b.inner[inner], OCTETS)
        # the port counts every segment, however many came as one
        sent = len(wire.outers(port, outgoing=True))
        assert b.drops(key) == {}
        wait_until(lambda: b.received(key) - before >= sent, 5, f"{sent} counted, {b.received(key) - before} so far")
        assert b.received(key) - before == len(wire.outers(port, outgoing=True))
        arrived = device.packets(outgoing=False)
    got = stream(map(parse_ip, arrived), b.inner[inner], merged=on)
    assert (got.octets, got.sha256) == (done.sent, done.sent_hash)
    largest = max(map(len, arrived))
    assert largest > 2 * MTU if on else largest <= MTU


def segments(a: End, b: End, inner: int) -> list[bytes]:
    """Inner packets of one TCP flow, each beginning where the one before ends."""
    made = []
    for n in range(COUNT):
        source, destination = a.inner[inner], b.inner[inner]
        head = struct.pack("!HHIIBBHHH", 4000, 5000, 1 + n * SIZE, 1, 0x50, 0x10, 1000, 0, 0)
        data = head + bytes([n]) * SIZE
        bare = make_ip(source, destination, TCP, data, ident=n)
        ip = parse_ip(bare)
        value = transport_checksum(ip.source, ip.destination, TCP, data)
        made.append(make_ip(source, destination, TCP, data[:16] + value.to_bytes(2, "big") + data[18:], ident=n))
    return made


def skipped(data: bytes) -> tuple[Option, ...]:
    """An option that who does not know it passes over."""
    return pad([Option(0x1E, data)])


PAIRS: dict[str, tuple[Header, Header, bool]] = {
    "same-gue": (Gue(4), Gue(4), True),
    "same-surplus": (Gue(4, surplus=b"same"), Gue(4, surplus=b"same"), True),
    "same-gutless": (Gutless(4, skipped(b"ab")), Gutless(4, skipped(b"ab")), True),
    "same-bare": (Bare(4), Bare(4), True),
    "surplus": (Gue(4, surplus=b"this"), Gue(4, surplus=b"that"), False),
    "surplus-length": (Gue(4, surplus=b"this"), Gue(4, surplus=b"thisthis"), False),
    "options": (Gutless(4, skipped(b"ab")), Gutless(4, skipped(b"ac")), False),
    "options-length": (Gutless(4), Gutless(4, skipped(b"ab")), False),
    "gue-gutless": (Gue(4), Gutless(4), False),
    "bare-gue": (Bare(4), Gue(4), False),
    "bare-gutless": (Bare(4), Gutless(4), False),
}


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("pair", PAIRS)
def test_different_headers_do_not_merge(ends: tuple[End, End], pair: str, outer: int) -> None:
    """One flow, its packets under two headers by turns. The pairs of equal ones show that it can be seen."""
    one, other, merges = PAIRS[pair]
    payloads = [encode(one, p) if n % 2 else encode(other, p) for n, p in parts(ends)]
    counts = deliver(ends, outer, payloads, until_merged=merges)
    assert min(counts) < COUNT if merges else set(counts) == {COUNT}


@pytest.mark.parametrize("outer", (4, 6))
def test_packets_with_check_do_not_merge(ends: tuple[End, End], outer: int) -> None:
    """Check holds for one packet (docs/protocol.md, section 5)."""
    packets = [seal(encode(Gutless(4), packet)) for _, packet in parts(ends)]
    assert all(packet[2:4] != b"\0\0" for packet in packets)
    assert set(deliver(ends, outer, packets)) == {COUNT}


def parts(ends: tuple[End, End]) -> list[tuple[int, bytes]]:
    return list(enumerate(segments(*ends, 4)))


def deliver(ends: tuple[End, End], outer: int, payloads: list[bytes], *, until_merged: bool = False) -> list[int]:
    """Send UDP payloads several times; in how many packets they came out of b's tunnel each time.

    They merge only where they arrive within a tick of each other, which a busy machine does not
    always do: so those that ought to merge get more goes than those that must not ever.
    """
    a, b = ends
    b.tunnel("tun", a.addresses[outer], HEADER, 6080, inner=(4,))
    merging(b, "eth0", True)
    merging(b, "tun", False)
    hold(b, 100_000_000)
    counts = []
    try:
        with a.host.udp(a.addresses[outer]) as sock:
            sock.connect((b.addresses[outer], 6080))
            for _ in range(50 if until_merged else 5):
                counts.append(len(deliver_once(b, sock, outer, payloads)))
                if until_merged and counts[-1] < COUNT:
                    break
    finally:
        hold(b, 0)
    return counts


def deliver_once(b: End, sock: socket.socket, outer: int, payloads: list[bytes]) -> list[bytes]:
    """What comes out of b's tunnel: all octets, each once."""
    key = next(p.key for p in b.kernel.ports() if (p.key.family, p.key.port) == (outer, 6080))
    before = b.received(key)
    with capture(b.host, "tun", frame=1 << 17, count=64) as device:
        for payload in payloads:
            sock.send(payload)
        wait_until(lambda: b.received(key) - before == len(payloads), what="all segments counted")
        wait_until(lambda: sum(map(len, device.packets(outgoing=False))) >= COUNT * SIZE, what="all octets at the tunnel")
        arrived = [p for p in device.packets(outgoing=False) if parse_ip(p).protocol == TCP]
    data: dict[int, bytes] = {}
    for packet in arrived:
        segment = parse_tcp(parse_ip(packet))
        assert segment.seq not in data
        data[segment.seq] = segment.payload
    assert b"".join(data[seq] for seq in sorted(data)) == b"".join(bytes([n]) * SIZE for n in range(COUNT))
    assert b.drops(key) == {}
    return arrived


def hold(end: End, nanoseconds: int) -> None:
    """How long packets wait for others to merge with (gro_flush_timeout; /sys is the namespace's own in there)."""
    path = "/sys/class/net/eth0/gro_flush_timeout"
    run("ip", "netns", "exec", end.host.name, "sh", "-c", f"echo {nanoseconds} > {path}")
