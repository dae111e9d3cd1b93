# SPDX-License-Identifier: Apache-2.0
"""TCP streams merge on receipt where the device is told to merge, and nowhere else; the port counts segments.

      a                                                 b
    +--------------------------+                      +----------------------------+
    | tun                      |   eth0 ------ eth0   | ports 6080, 6081, 6082     |
    |                          |   a: offloads off    | tun, its own merging off:  |
    |                          |   b: gro on or off   | captured here              |
    +--------------------------+                      +----------------------------+

Which packets merge: test_merge_pairs.py; how many: test_merge_counted.py. Merging takes place on a veth only where the sender segments for itself, so a's offloads are off.
Tunnel devices merge as well (gro_cells): that is off, so that what is merged, the port has merged.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bulk import stream
from capture import capture
from ends import BARE, HEADER, End, features, two_ends
from frames import parse_ip
from net import Net
from traffic import assert_tcp, wait_until

from gutctl.model import Csum, Format

MTU = 1500
OCTETS = 400_000


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
