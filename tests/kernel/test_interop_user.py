# SPDX-License-Identifier: Apache-2.0
"""A UDP socket and the codecs of ``gutctl.encap`` at the far end: no kernel tunnel there at all.

      a                                               b
    +------------------------------+                +---------------------------+
    | ports 6080 gue0 bare gutless |  eth0 -- eth0  | a UDP socket of Python,   |
    |       6081 fou:4             |  offloads off  | any port; it makes and    |
    |       6082 fou:41            |----------------| reads every octet itself  |
    | tun 10.9.0.1/24 fd09::1/64   |                | as 10.9.0.2 and fd09::2   |
    +------------------------------+                +---------------------------+

Echo requests go in by the port; the kernel's answers come back by a link to the socket's address and
port, and every octet of them has to be what the formats and ICMP say.
"""

from __future__ import annotations

import itertools
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from ends import BARE, HEADER, End, two_ends
from frames import Ip, parse_ip
from net import Net
from pings import echo, is_reply, reply_to

from gutctl.encap import Bare, Fou, Gue, Gutless, Header, Option, decode, encode, pad
from gutctl.model import Accept, Csum, Format

GRE = 47
SOURCE_PORTS = (50000, 50063)
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
PROTOCOL = {4: 4, 6: 41}
# types below 0x40 are to be skipped by who does not know them
SKIPPED = pad([Option(0x1E, b"abcde"), Option(0x00), Option(0x3E), Option(0x01, b"\0\0\0")])

idents = itertools.count(0x4000)


@dataclass(frozen=True)
class Form:
    """What the socket sends, and what the link has to answer in."""

    word: str
    format: Format
    encap: int
    fou: bool = False
    gre: bool = False

    def request(self, inner: int) -> Header:
        """The header in front of an inner packet of a family (or of GRE)."""
        protocol = GRE if self.gre else PROTOCOL[inner]
        headers: dict[str, Header] = {
            "fou": Fou(protocol),
            "gue": Gue(protocol),
            "gue-surplus": Gue(protocol, surplus=b"surplus!"),
            "bare": Bare(inner),
            "gutless": Gutless(protocol),
            "gutless-options": Gutless(protocol, SKIPPED),
            "gutless-longest": Gutless(protocol, pad([Option(0x01, bytes(122))])),
        }
        return headers[self.word.removesuffix("-gre")]

    def answer(self, inner: int) -> Header:
        """The header that has to come back."""
        protocol = GRE if self.gre else PROTOCOL[inner]
        if self.format is Format.FOU:
            return Fou(protocol)
        if self.format is Format.GUE:
            return Gue(protocol)
        return Gutless(protocol) if self.gre else Bare(inner)


FORMS = (
    Form("fou", Format.FOU, BARE, fou=True),
    Form("gue", Format.GUE, HEADER),
    Form("gue-surplus", Format.GUE, HEADER),
    Form("bare", Format.GUTLESS, BARE),
    Form("gutless", Format.GUTLESS, HEADER),
    Form("gutless-options", Format.GUTLESS, HEADER),
    Form("gutless-longest", Format.GUTLESS, HEADER),
    Form("gue-gre", Format.GUE, HEADER, gre=True),
    Form("gutless-gre", Format.GUTLESS, HEADER, gre=True),
    Form("gutless-options-gre", Format.GUTLESS, HEADER, gre=True),
)


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    # offloads are off: our datagrams carry a checksum that is verified, the kernel's one that it computed
    with two_ends(module_net) as (a, b, _):
        for family in (4, 6):
            a.port(family, 6080)
            a.port(family, 6081, fou=4)
            a.port(family, 6082, fou=41)
        yield a, b


def await_reply(sock: socket.socket, form: Form, inner: int, ident: int, sender: str) -> tuple[bytes, tuple[str, int]]:
    """The datagram with our reply in it, and whom it came from. Others (neighbour and listener messages) pass by."""
    deadline = time.monotonic() + 5
    fou = PROTOCOL[inner] if form.fou else None
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            break
        data, source = sock.recvfrom(65535)
        assert source[0] == sender
        packet = unwrap(decode(data, fou=fou).payload, form)
        if is_reply(parse_ip(packet), ident):
            return data, (source[0], source[1])
    raise AssertionError("no reply within 5 s")


def unwrap(payload: bytes, form: Form) -> bytes:
    """What is behind GRE's four octets, where there are any."""
    return payload[4:] if form.gre else payload


CASES = [
    (form, outer, csum)
    for form in FORMS
    for outer in (4, 6)
    # nothing is left to the receiver of an echo reply: remote checksums have their own files
    for csum in (Csum.FULL, Csum.ZERO)
    # what a form adds to the plain one of its format does not depend on the UDP checksum
    if csum is Csum.FULL or form.word in ("fou", "gue", "bare", "gutless")
]


@pytest.mark.parametrize(("form", "outer", "csum"), CASES, ids=lambda part: getattr(part, "word", str(part)))
def test_every_octet(ends: tuple[End, End], form: Form, outer: int, csum: Csum) -> None:
    a, b = ends
    sock = b.host.udp(b.addresses[outer])
    number = a.profile(form.format, csum, SOURCE_PORTS)
    kind = {(4, True): "gre", (6, True): "ip6gre"}.get((outer, form.gre))
    try:
        a.tunnel("tun", b.addresses[outer], form.encap, sock.getsockname()[1], number=number, kind=kind, inner=(4, 6))
        for inner in (4, 6):
            one_echo(a, b, sock, form, outer, inner, csum)
    finally:
        sock.close()
        a.clear()


def one_echo(a: End, b: End, sock: socket.socket, form: Form, outer: int, inner: int, csum: Csum) -> None:
    port = {(True, 4): 6081, (True, 6): 6082}.get((form.fou, inner), 6080)
    key = next(p.key for p in a.kernel.ports() if (p.key.family, p.key.port) == (outer, port))
    ident = next(idents)
    # an odd length, so that a checksum has to pad
    request = echo(b.inner[inner], a.inner[inner], ident, 7, bytes(range(61)))
    gre = struct.pack("!HH", 0, ETHERTYPE[inner]) if form.gre else b""
    before = a.received(key)
    # the socket may leave the checksum out where the kernel would as well (SO_NO_CHECK, UDP_NO_CHECK6_TX), and takes none then
    if outer == 4:
        sock.setsockopt(socket.SOL_SOCKET, 11, int(csum is Csum.ZERO))
    else:
        sock.setsockopt(socket.IPPROTO_UDP, 101, int(csum is Csum.ZERO))
        sock.setsockopt(socket.IPPROTO_UDP, 102, int(csum is Csum.ZERO))
    sock.sendto(encode(form.request(inner), gre + request), (a.addresses[outer], port))

    data, source = await_reply(sock, form, inner, ident, a.addresses[outer])
    assert a.received(key) == before + 1
    assert a.drops(key) == {}
    assert SOURCE_PORTS[0] <= source[1] <= SOURCE_PORTS[1]

    answer = form.answer(inner)
    decoded = decode(data, fou=PROTOCOL[inner] if form.fou else None)
    assert decoded.header == answer
    assert data == encode(answer, decoded.payload)
    assert decoded.payload[: len(gre)] == gre
    packet = unwrap(decoded.payload, form)
    ip = parse_ip(packet)
    assert ip == Ip(
        source=parse_ip(request).destination,
        destination=parse_ip(request).source,
        protocol=1 if inner == 4 else 58,
        payload=reply_to(request),
        octets=len(packet),
        dscp_ecn=0,
        hops=64,
        flow_label=ip.flow_label,
    )


def test_nothing_answers_where_the_port_does_not_take_it(ends: tuple[End, End]) -> None:
    """The same request to the port of another format: no answer, and the reason counted. Then a good one passes."""
    a, b = ends
    form = FORMS[4]
    sock = b.host.udp(b.addresses[4])
    try:
        number = a.profile(form.format, source_ports=SOURCE_PORTS)
        a.tunnel("tun", b.addresses[4], form.encap, sock.getsockname()[1], number=number, inner=(4, 6))
        key = a.port(4, 6083, Accept.GUE0, Accept.BARE)
        ident = next(idents)
        request = echo(b.inner[4], a.inner[4], ident, 1, b"")
        sock.sendto(encode(form.request(4), request), (a.addresses[4], 6083))
        one_echo(a, b, sock, form, 4, 4, Csum.FULL)
        assert a.drops(key) == {"format": 1} and a.received(key) == 0
    finally:
        sock.close()
        a.clear()
