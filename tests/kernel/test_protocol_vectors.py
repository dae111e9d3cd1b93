# SPDX-License-Identifier: Apache-2.0
"""The vectors of docs/protocol.md in a running kernel: into ports, and out of links whose profile sends them.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)
      a, a link for each vector ---- eth0 wire eth0 ---- b        captured at a, offloads off

What the vectors say is in tests/pure/test_protocol_vectors.py held against codecs and dissectors.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rawnl
from capture import Capture, capture
from ends import BARE, HEADER, End, two_ends
from gueports import attribute
from inject import Bench, Target
from merging import put_frames
from net import Net
from traffic import wait_until
from vnet import NEEDS_CSUM, Packet, put

from gutctl import encap
from gutctl.model import Csum, Format

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pure"))
from protocol_options import option
from vectors import VECTORS, Vector

ETHERNET_IN_GRE = b"\0\0\x65\x58"
SENT = [vector for vector in VECTORS if vector.send]
DELIVERED = [vector for vector in VECTORS if vector.accepted and not vector.require and vector.next in (4, 41)]


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    yield made
    made.close()


@pytest.fixture(scope="module", params=[4, 6], ids=["over-v4", "over-v6"])
def target(bench: Bench, request: pytest.FixtureRequest) -> Target:
    """A port with default settings, but that datagrams without a checksum come in."""
    return bench.open(request.param, rawnl.u8("A_PORT_ZERO_CSUM6", 1))


def judged(bench: Bench, target: Target, vectors: list[Vector]) -> None:
    """Each is counted as said, and by nothing else."""
    for summed in (True, False):
        cases = [(one.payload, "" if one.accepted else one.verdict) for one in vectors if one.udp_checksum == summed]
        bench.judge(target, sorted(cases, key=lambda case: case[1]), summed=summed)


def test_ports_with_default_settings(bench: Bench, target: Target) -> None:
    judged(bench, target, [vector for vector in VECTORS if not vector.accept_inner and not vector.require])


@pytest.mark.parametrize("family", [4, 6])
def test_ports_that_require_fields_of_gue(bench: Bench, family: int) -> None:
    several = {vector.require for vector in VECTORS if vector.require}
    assert len(several) > 1
    for required in several:
        port = bench.open(family, attribute(required))
        cases = [(one.payload, "" if one.accepted else one.verdict) for one in VECTORS if one.require == required]
        header = encap.encode(required.header(4))
        bench.judge(port, sorted(cases, key=lambda case: case[1]), header=header)
        bench.shut(port)


@pytest.mark.parametrize("family", [4, 6])
def test_ports_that_accept_more(bench: Bench, family: int) -> None:
    several = {vector.inner for vector in VECTORS if vector.accept_inner}
    assert len(several) > 2
    for inner in several:
        port = bench.open(family, rawnl.u8("A_PORT_ZERO_CSUM6", 1), inner=inner)
        judged(bench, port, [vector for vector in VECTORS if vector.accept_inner and vector.inner == inner])
        bench.shut(port)


@pytest.mark.parametrize("family", [4, 6])
def test_what_comes_out(bench: Bench, family: int) -> None:
    """IP packets, octet by octet; where a checksum was left to the receiver, with the one that the document says."""
    assert len(DELIVERED) > 30
    port = bench.open(family, rawnl.u8("A_PORT_ZERO_CSUM6", 1), rawnl.u8("A_PORT_REMCSUM_NOPARTIAL", 1))
    link = {4: "in4", 6: "in6"}[family]
    with capture(bench.pair.b, link) as seen:
        for vector in DELIVERED:
            seen.forget()
            bench.send(port, vector.payload, summed=vector.udp_checksum)
            wait_until(lambda: len(seen.packets(outgoing=False)) > 0, what=f"{vector} behind the port")
            (packet,) = seen.packets(outgoing=False)
            assert packet == finished(vector), vector
    bench.shut(port)


def finished(vector: Vector) -> bytes:
    """What follows the header, with the checksum that was left to the receiver."""
    remote = encap.remote_of(encap.decode(vector.payload).header)
    if remote is None:
        return vector.carried
    assert vector.finished
    return vector.carried[: remote.offset] + vector.finished + vector.carried[remote.offset + 2 :]


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Capture]]:
    with two_ends(module_net) as (a, b, _), capture(a.host, "eth0") as wire:
        yield a, b, wire


def test_there_are_vectors_to_send() -> None:
    assert {(one.send["format"], one.send.get("csum")) for one in SENT} == {
        *((form, csum) for form in ("gue", "gutless") for csum in (None, "remote")),
        ("gue", "remote-draft"),
    }
    assert len([one for one in SENT if one.options]) > 15


@pytest.mark.parametrize("vector", SENT, ids=str)
@pytest.mark.parametrize("outer", [4, 6])
def test_links_send_them(ends: tuple[End, End, Capture], outer: int, vector: Vector) -> None:
    """The inner packet goes into a link; what is on the wire is the vector, octet by octet."""
    a, b, wire = ends
    csum = Csum(vector.send.get("csum", "full"))
    options = [option(told) for told in vector.options or ()]
    given = tuple(one for one in options if not one.padding and one.type != 0x59)
    number = a.profile(Format(vector.send["format"]), csum, (50164, 50164), options=given)
    kind, packet = inside(vector, outer)
    bare = vector.format == "bare"
    a.tunnel("tun", b.addresses[outer], BARE if bare else HEADER, 6080, number=number, kind=kind)
    wire.forget()
    (put_frames if kind.endswith("tap") else put)(a.host, "tun", packet)
    (seen,) = wire.wait(1, 6080, outgoing=True)
    a.clear()
    assert seen.payload.hex() == vector.payload.hex()
    assert (seen.csum, seen.sport) == ("ok", 50164)


def inside(vector: Vector, outer: int) -> tuple[str, Packet]:
    """The kind of link that makes what a vector carries, and the packet to be put into it."""
    data, kind = vector.carried, {4: "sit", 6: "ip6tnl"}[outer]
    if vector.next == 47:
        tap = data[:4] == ETHERNET_IN_GRE
        kind = {4: "gre", 6: "ip6gre"}[outer] + ("tap" if tap else "")
        data = data[4:]
    header = bytes(10)
    if vector.finished:
        # a packet whose checksum is still to be made, as a program's own is
        remote = encap.remote_of(encap.decode(vector.payload).header)
        assert remote
        header = struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, remote.start, remote.offset - remote.start)
    return kind, Packet(data, header, b"", data[0] >> 4 if not kind.endswith("tap") else 4)


