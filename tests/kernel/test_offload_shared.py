# SPDX-License-Identifier: Apache-2.0
"""Somebody else holds the packet too: what we write into it, they must not see.

      a                                               b
    +--------------------------+                    +--------------------------+
    | tun, tapped              |   eth0 ---- eth0   | eth0, tapped             |
    | (AF_PACKET: clones)      |   offloads off     | port 6080, inner 17 too  |
    +--------------------------+                    +--------------------------+

An ordinary AF_PACKET socket, tcpdump's of old, keeps clones that share their octets with the packet
on its way. The ring at the wire copies and shows what really left.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from capture import capture
from ends import BARE, HEADER, End, two_ends
from frames import TCP, UDP, outers, parse_ip, parse_tcp
from net import Net
from traffic import Capture as Clones
from traffic import wait_until
from vnet import put, single, tcp_super

from gutctl.encap import Fou, Gue, Gutless, Header, encode, transport_checksum_ok, udp_checksum
from gutctl.model import Format

NOBODY = {4: "10.9.0.77", 6: "fd09::77"}
WATCHED = "203.0.113.99"


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net) as (a, b, _):
        for family in (4, 6):
            b.port(family, 6080, inner=frozenset({4, 41, 17}))
            b.port(family, 6081, fou=17, inner=frozenset({17}))
        yield a, b


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize(
    ("format", "encap", "kind"),
    [(Format.FOU, BARE, None), (Format.GUE, HEADER, None), (Format.GUTLESS, BARE, None), (Format.GUE, HEADER, "gre")],
    ids=str,
)
def test_tapped_tunnel(ends: tuple[End, End], outer: int, format: Format, encap: int, kind: str | None) -> None:
    """Every packet is cloned before it gets to us: tap and wire both see it whole."""
    a, b = ends
    if kind == "gre" and outer == 6:
        kind = "ip6gre"
    number = a.profile(format)
    try:
        a.tunnel("tun", b.addresses[outer], encap, 6080, number=number, kind=kind, inner=(4,))
        link = a.kernel.link("tun")
        assert link is not None and link.mtu is not None
        mss = link.mtu - 52
        sent = [
            single(a.inner[4], NOBODY[4], protocol, size, partial=partial)
            for partial in (True, False)
            for protocol in (UDP, TCP)
            for size in (3, 1200)
        ]
        sent.append(tcp_super(a.inner[4], NOBODY[4], 40000, mss))
        segments = len(sent) - 1 + -(-len(sent[-1].payload) // mss)
        with Clones(a.host, "tun", incoming=False) as tap, capture(a.host, "eth0") as wire:
            put(a.host, "tun", *sent)
            left = wire.wait(segments, 6080, outgoing=True)
            tap.wait(len(sent))
        assert tap.frames == [packet.data for packet in sent]
        assert {p.csum for p in left} == {"ok"}
        inner = [
            parse_ip(p.decode().payload[4:]) if kind else p.inner(fou=4 if format is Format.FOU else None) for p in left
        ]
        assert all(transport_checksum_ok(ip.source, ip.destination, ip.protocol, ip.payload) for ip in inner)
        assert [ip.payload[8 if ip.protocol == UDP else 20 :] for ip in inner[: len(sent) - 1]] == [
            packet.payload for packet in sent[:-1]
        ]
        assert b"".join(parse_tcp(ip).payload for ip in inner[len(sent) - 1 :]) == sent[-1].payload
    finally:
        a.clear()


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("header", [Fou(17), Gue(17), Gutless(17)], ids=lambda h: type(h).__name__)
def test_tapped_wire(ends: tuple[End, End], outer: int, header: Header) -> None:
    """A protocol that looks at the outer header gets the lengths set right there; a tap still sees the wire's."""
    a, b = ends
    port = 6081 if isinstance(header, Fou) else 6080
    with b.host.udp(b.addresses[outer]) as inside, a.host.udp(a.addresses[outer]) as sock:
        number = inside.getsockname()[1]
        datagram = struct.pack("!HHHH", 4000, number, 13, 0) + b"inner"
        source, target = (ip_address(end.addresses[outer]) for end in (a, b))
        value = udp_checksum(source, target, datagram)
        datagram = datagram[:6] + value.to_bytes(2, "big") + datagram[8:]
        with Clones(b.host, "eth0", outgoing=False) as tap:
            for _ in range(3):
                sock.sendto(encode(header, datagram), (b.addresses[outer], port))
                data, sender = inside.recvfrom(100)
                assert (data, sender[:2]) == (b"inner", (a.addresses[outer], 4000))
            wait_until(lambda: len(tap.frames) >= 3, what="three frames at the tap")
        # raises where the lengths in the outer header are not those of the wire, or its checksum is off
        seen = outers(tap.frames, port)
        assert [(p.csum, p.payload) for p in seen] == [("ok", encode(header, datagram))] * 3



def test_mirrored_into_a_tunnel(ends: tuple[End, End]) -> None:
    """A copy of what arrives goes to a collector: in front of its IP header is the link's, which a tap still looks at.

    ip_tunnel_xmit() moves a shared packet to a buffer of its own, but not before we are through with it.
    """
    a, b = ends
    a.host.ip(f"route add {WATCHED}/32 via {b.addresses[4]}")
    b.tunnel("tun", a.addresses[4], BARE, 6080, flags=1, kind="ipip", inner=(4,))
    b.host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    try:
        chosen = ("u32", "match", "ip", "dst", f"{WATCHED}/32")
        copy = ("action", "mirred", "egress", "mirror", "dev", "tun")
        b.host.run("tc", "filter", "add", "dev", "eth0", "ingress", "protocol", "ip", *chosen, *copy)
        to_watched = ip_address(WATCHED).packed
        with (
            Clones(b.host, "eth0", lambda frame: frame[30:34] == to_watched, outgoing=False) as tap,
            capture(a.host, "eth0") as left,
            capture(b.host, "eth0") as wire,
            a.host.udp(a.addresses[4]) as sock,
        ):
            for size in (1, 100, 1000):
                sock.sendto(bytes(size), (WATCHED, 9))
            copies = wire.wait(3, 6080, outgoing=True)
            tap.wait(3)
            sent = [frame for frame in left.packets(outgoing=True) if frame[30:34] == to_watched]
        assert [(p.csum, p.payload) for p in copies] == [("ok", frame[14:]) for frame in sent]
        assert tap.frames == sent
    finally:
        b.host.run("tc", "qdisc", "del", "dev", "eth0", "clsact")
        a.host.ip(f"route del {WATCHED}/32")
        b.clear()
