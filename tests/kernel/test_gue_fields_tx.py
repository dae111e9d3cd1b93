# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE 0 that a profile sends: octet by octet, in every segment, and to who knows them or not.

      a, links under test ---- eth0 wire eth0 ---- b        captured at a, offloads off
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from capture import Capture, capture
from ends import BARE, HEADER, TREE_GUE, End, two_ends
from frames import Outer
from gueports import COOKIE, GROUP, cookie
from net import Net
from outer import CASES, KINDS, NOBODY, PORT, emit, ip
from traffic import wait_until
from vnet import put, tcp_super

from gutctl.encap import Gue, GueFields, gue_checksum_state, gue_pseudo_sum, seal_gue
from gutctl.model import Accept, Csum, Format, Link

FIELDS = {
    "group": GueFields(GROUP),
    "group 0": GueFields(0),
    "checksum": GueFields(csum=True),
    **{f"cookie of {size}": GueFields(cookie=cookie(size)) for size in (8, 16, 32)},
    "all": GueFields(GROUP, True, cookie(32)),
}
LINK = {4: "sit", 6: "ip6tnl"}


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Capture]]:
    with two_ends(module_net) as (a, b, _), capture(a.host, "eth0", count=512) as wire:
        yield a, b, wire


@pytest.fixture(autouse=True)
def cleared(ends: tuple[End, End, Capture]) -> Iterator[None]:
    yield
    ends[0].clear()
    ends[1].clear()
    ends[2].forget()


def pseudo(outer: Outer) -> int:
    """The sum of addresses and ports of an outer packet."""
    return gue_pseudo_sum(outer.ip.source, outer.ip.destination, outer.sport, outer.dport)


def headers(wire: Capture, count: int, *, udp: str = "ok") -> list[Gue]:
    """The headers of what was sent, whose checksums are right."""
    found = wire.wait(count, PORT, outgoing=True)
    assert len(found) == count
    assert {outer.csum for outer in found} == {udp}
    made = []
    for outer in found:
        decoded = outer.decode()
        assert isinstance(decoded.header, Gue)
        assert gue_checksum_state(decoded.header, decoded.payload, pseudo(outer)) in ("ok", "none")
        made.append(decoded.header)
    wire.forget()
    return made


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(("family", "csum"), [(4, Csum.FULL), (4, Csum.ZERO), (6, Csum.FULL), (6, Csum.ZERO)])
def test_octet_by_octet(ends: tuple[End, End, Capture], family: int, csum: Csum, name: str) -> None:
    """The packet that gutctl.encap makes of the fields, whatever UDP's own checksum."""
    a, b, wire = ends
    fields = FIELDS[name]
    number = a.profile(Format.GUE, csum, gue=fields)
    assert number >> 8 == fields.octets // 4
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number)
    wire.forget()
    inner = ip(a.inner[4], NOBODY[4])
    emit(a.host, "tun", LINK[family], [inner])
    (outer,) = wire.wait(1, PORT, outgoing=True)
    wanted = fields.header(4)
    if fields.csum:
        wanted = seal_gue(wanted, inner, pseudo(outer))
    assert outer.decode().header == wanted
    assert outer.decode().payload == inner
    assert outer.csum == ("ok" if csum is Csum.FULL else "none")


@pytest.mark.parametrize(("kind", "version"), CASES, ids=str)
def test_every_kind_of_link(ends: tuple[End, End, Capture], kind: str, version: int) -> None:
    """All fields, and what is behind them is the packet that was put in."""
    a, b, wire = ends
    number = a.profile(Format.GUE, gue=FIELDS["all"])
    inner = ip(a.inner[version], NOBODY[version])
    a.tunnel("tun", b.addresses[KINDS[kind]], HEADER, PORT, number=number, kind=kind)
    wire.forget()
    emit(a.host, "tun", kind, [inner])
    (outer,) = wire.wait(1, PORT, outgoing=True)
    decoded = outer.decode()
    assert decoded.payload.endswith(inner)
    assert isinstance(decoded.header, Gue)
    assert (decoded.header.group, decoded.header.security) == (GROUP, COOKIE)
    assert gue_checksum_state(decoded.header, decoded.payload, pseudo(outer)) == "ok"
    assert outer.csum == "ok"


def test_a_link_without_an_address_of_its_own(ends: tuple[End, End, Capture]) -> None:
    """The checksum covers the source that the route gives, though UDP has none that would ask for it."""
    a, b, wire = ends
    number = a.profile(Format.GUE, Csum.ZERO, gue=FIELDS["checksum"])
    link = Link("tun", "sit", None, ip_address(b.addresses[4]), HEADER, number << 3, 0, PORT)
    a.kernel.link_add(link)
    a.links.append("tun")
    a.kernel.link_set("tun", up=True)
    wire.forget()
    emit(a.host, "tun", "sit", [ip(a.inner[4], NOBODY[4])])
    (header,) = headers(wire, 1, udp="none")
    assert header.checksum


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("csum", [Csum.FULL, Csum.ZERO])
def test_large_packets_have_them_in_each_segment(ends: tuple[End, End, Capture], family: int, csum: Csum) -> None:
    """Left to the device, and the same header is right for every segment."""
    a, b, wire = ends
    number = a.profile(Format.GUE, csum, gue=FIELDS["all"])
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number, mtu=1400)
    wire.forget()
    put(a.host, "tun", tcp_super(a.inner[4], NOBODY[4], 6000, 1000))
    found = headers(wire, 6, udp="ok" if csum is Csum.FULL else "none")
    assert len(set(found)) == 1
    assert found[0].checksum
    assert a.tx(number).offloaded == 6


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("csum", [Csum.REMOTE, Csum.REMOTE_DRAFT])
def test_beside_a_remote_checksum(ends: tuple[End, End, Capture], family: int, csum: Csum) -> None:
    """In the order of the flags: the draft's in front of the checksum, Linux's behind it."""
    a, b, wire = ends
    number = a.profile(Format.GUE, csum, gue=FIELDS["all"])
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number, mtu=1400)
    wire.forget()
    put(a.host, "tun", tcp_super(a.inner[4], NOBODY[4], 6000, 1000))
    for header in headers(wire, 6):
        assert (header.group, header.security) == (GROUP, COOKIE)
        remote = header.private.remote if header.private else header.remote
        assert remote
        assert (remote.start, remote.offset) == (20, 36)
        assert (header.remote is None) == (csum is Csum.REMOTE)
    # one whose checksum is there already goes without, and is no longer
    emit(a.host, "tun", LINK[family], [ip(a.inner[4], NOBODY[4])])
    (header,) = headers(wire, 1)
    assert header.remote is None
    assert header.private is None
    assert header.octets == 4 + 4 + 32 + 4


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", ["all", "checksum"])
def test_to_a_port_that_requires_them(
    ends: tuple[End, End, Capture], request: pytest.FixtureRequest, family: int, name: str
) -> None:
    """Packets pass, merged ones as well; without the fields, or with others, none does."""
    a, b, _ = ends
    fields = FIELDS[name]
    key = b.port(family, PORT + 1, Accept.GUE0, gue=fields)
    request.addfinalizer(lambda: b.kernel.port_del(key))
    number = a.profile(Format.GUE, gue=fields)
    a.tunnel("tun", b.addresses[family], HEADER, PORT + 1, number=number, mtu=1400)
    put(a.host, "tun", tcp_super(a.inner[4], NOBODY[4], 6000, 1000))
    emit(a.host, "tun", LINK[family], [ip(a.inner[4], NOBODY[4])])
    wait_until(lambda: b.received(key) == 7, what="seven packets")
    assert b.drops(key) == {}
    if name == "all":
        a.kernel.profile_set(number, gue=GueFields(GROUP ^ 1, True, cookie(32)))
        emit(a.host, "tun", LINK[family], [ip(a.inner[4], NOBODY[4])])
        wait_until(lambda: b.drops(key) == {"gue-group": 1}, what="the group")
        a.kernel.profile_set(number, gue=GueFields(GROUP, True, cookie(16)))
        emit(a.host, "tun", LINK[family], [ip(a.inner[4], NOBODY[4])])
        wait_until(lambda: b.drops(key) == {"gue-group": 1, "gue-cookie": 1}, what="the cookie")
    a.kernel.profile_set(number, gue=GueFields())
    put(a.host, "tun", tcp_super(a.inner[4], NOBODY[4], 6000, 1000))
    wait_until(lambda: b.drops(key).get("gue-csum") == 6, what="the checksum")
    assert b.received(key) == 7


@pytest.mark.parametrize("family", [4, 6])
def test_the_kernels_own_gue(ends: tuple[End, End, Capture], family: int) -> None:
    """It knows no fields and drops what has some; without them it takes what such a profile sends."""
    a, b, _ = ends
    six = " -6" if family == 6 else ""
    b.host.ip(f"fou add port {PORT} gue{six}")
    try:
        number = a.profile(Format.GUE, gue=FIELDS["group"])
        a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number)
        b.tunnel("tun", a.addresses[family], TREE_GUE, PORT)
        emit(a.host, "tun", LINK[family], [ip(a.inner[4], b.inner[4])])
        a.kernel.profile_set(number, gue=GueFields())
        before = b.host.counter("tun", "rx_packets")
        emit(a.host, "tun", LINK[family], [ip(a.inner[4], b.inner[4])])
        wait_until(lambda: b.host.counter("tun", "rx_packets") > before, what="a packet without fields")
        assert b.host.counter("tun", "rx_packets") == before + 1
    finally:
        b.host.ip(f"fou del port {PORT} gue{six}")


def test_they_need_a_link_with_a_header(ends: tuple[End, End, Capture]) -> None:
    a, b, _ = ends
    number = a.profile(Format.GUE, gue=FIELDS["group"])
    a.tunnel("tun", b.addresses[4], BARE, PORT, number=number)
    emit(a.host, "tun", "sit", [ip(a.inner[4], NOBODY[4])])
    wait_until(lambda: a.tx_drops(number) == {"format": 1}, what="the drop counted")
