# SPDX-License-Identifier: Apache-2.0
"""Remote checksums between our module and the kernel's own fou module, each putting them in at once or not.

      a (ours)                                       b (in-tree fou)
    +-----------------------------+                +----------------------------------+
    | 6080; 6090: nopartial       |  eth0 -- eth0  | 7080 gue; 7090 gue, nopartial    |
    | tun: GUE, remote            |  offloads off  | tun: encap gue, encap-remcsum    |
    | eth0 merges                 |  captured at a |                                  |
    +-----------------------------+                +----------------------------------+
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest
from capture import capture
from ends import HEADER, TREE_GUE, End, two_ends
from net import Net
from rawnl import CTRL_CMD_GETFAMILY, CTRL_FAMILY_ID, CTRL_FAMILY_NAME, GENL_ID_CTRL, RawNetlink, attr
from traffic import assert_tcp

from gutctl.encap import Gue, remote_of
from gutctl.model import Csum, Format

OURS, TREE = {False: 6080, True: 6090}, {False: 7080, True: 7090}
"""Ports, by whether a checksum is put in at once."""
FLAGS = {4: 1 | 4, 6: 2 | 4}
"""TUNNEL_ENCAP_FLAG_CSUM or _CSUM6, and _REMCSUM"""
FOU_CMD_ADD, FOU_PORT, FOU_AF, FOU_TYPE, FOU_NOPARTIAL, FOU_ENCAP_GUE = 1, 1, 2, 4, 5, 2
AF = {4: 2, 6: 10}
OCTETS = 150_000
SIZES = (1, 2, 3, 100, 777, 1200)


def tree_port(door: RawNetlink, family: int, number: int, nopartial: bool) -> None:
    """ip(8) cannot say nopartial."""
    reply = door.ask(CTRL_CMD_GETFAMILY, attr(CTRL_FAMILY_NAME, b"fou\0"), family=GENL_ID_CTRL)
    fou = next(struct.unpack("=H", data)[0] for kind, data in reply[0].attributes if kind == CTRL_FAMILY_ID)
    body = attr(FOU_PORT, struct.pack("!H", number)) + attr(FOU_AF, bytes([AF[family]]))
    body += attr(FOU_TYPE, bytes([FOU_ENCAP_GUE])) + (attr(FOU_NOPARTIAL) if nopartial else b"")
    door.ask(FOU_CMD_ADD, body, family=fou)


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net) as (a, b, _):
        door = b.host.call(RawNetlink)
        for family in (4, 6):
            for nopartial in (False, True):
                a.port(family, OURS[nopartial], remcsum_nopartial=nopartial)
                tree_port(door, family, TREE[nopartial], nopartial)
        door.close()
        a.host.run("ethtool", "-K", "eth0", "gro", "on")
        yield a, b


@pytest.fixture(autouse=True)
def cleared(ends: tuple[End, End]) -> Iterator[None]:
    yield
    for end in ends:
        end.clear()


def datagrams(source: End, target: End, version: int) -> None:
    """UDP with data of several sizes arrives unchanged."""
    with target.host.udp(target.inner[version]) as there, source.host.udp(source.inner[version]) as here:
        for size in SIZES:
            data = os.urandom(size)
            here.sendto(data, (target.inner[version], there.getsockname()[1]))
            assert there.recv(2000) == data


@pytest.mark.parametrize("tree", (False, True), ids=("tree-partial", "tree-nopartial"))
@pytest.mark.parametrize("ours", (False, True), ids=("partial", "nopartial"))
@pytest.mark.parametrize("outer", (4, 6))
def test_both_directions(ends: tuple[End, End], outer: int, ours: bool, tree: bool) -> None:
    a, b = ends
    number = a.profile(Format.GUE, Csum.REMOTE)
    a.tunnel("tun", b.addresses[outer], HEADER, TREE[tree], number=number, inner=(4, 6))
    b.tunnel("tun", a.addresses[outer], TREE_GUE, OURS[ours], flags=FLAGS[outer], inner=(4, 6))
    with capture(a.host, "eth0") as wire:
        for version in (4, 6):
            datagrams(a, b, version)
            datagrams(b, a, version)
        sent = [p.decode().header for p in wire.outers(TREE[tree], outgoing=True)]
        came = [p.decode().header for p in wire.outers(OURS[ours], outgoing=False)]
    for headers in (sent, came):
        left = [header for header in headers if isinstance(header, Gue) and header.private and remote_of(header)]
        assert len(left) >= 2 * len(SIZES)
    assert_tcp(a.host, b.host, b.inner[10 - outer], OCTETS)
    assert_tcp(b.host, a.host, a.inner[10 - outer], OCTETS)
    assert not any(count for port in a.kernel.ports() for count in port.stats.drops.values())
    assert a.tx_drops(number) == {}
