# SPDX-License-Identifier: Apache-2.0
"""Our module at one end, the kernel's own fou module at the other.

      a (ours)                                        b (in-tree fou)
    +--------------------------+                    +--------------------------+
    | ports 6080 gue0 bare     |  eth0 -- eth0      | ports 7080 gue           |
    |       6081 fou:4         |  offloads off      |       7081 fou ipproto 4 |
    |       6082 fou:41        |--------------------|       7082 fou ipproto 41|
    | tun 10.9.0.1/24          | 198.51.100.0/24    | tun 10.9.0.2/24          |
    |     fd09::1/64           | 2001:db8::/64      |     fd09::2/64           |
    +--------------------------+                    +--------------------------+

The in-tree module never sends GUE variant 1 as such, but a plain FOU of IP in IP to a bare port is
that on the wire, and its GUE port receives it. With the offloads off every checksum is computed
before the wire and verified behind it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from capture import capture
from ends import BARE, HEADER, TREE_FOU, TREE_GUE, End, two_ends
from net import Net
from pings import ping
from traffic import assert_tcp

from gutctl.encap import Bare, Gue
from gutctl.model import Accept, Csum, Format

TCP_OCTETS = 1_500_000
TUNNEL_ENCAP_FLAG_REMCSUM = 4


@dataclass(frozen=True)
class Way:
    """How one combination is sent from a to b and back."""

    word: str
    encap: int
    format: Format | None
    """None: a link without profile."""
    tree_encap: int
    ports: dict[int, tuple[int, int]]
    """By inner family: where b receives, where a does."""
    wire: type[Gue | Bare] | None
    """What has to be seen on the wire; None: FOU, which has no header."""


FOU = {4: (7081, 6081), 6: (7082, 6082)}
OTHER = {4: (7080, 6080), 6: (7080, 6080)}
WAYS = (
    Way("fou", BARE, Format.FOU, TREE_FOU, FOU, None),
    Way("fou-plain", BARE, None, TREE_FOU, FOU, None),
    Way("gue0", HEADER, Format.GUE, TREE_GUE, OTHER, Gue),
    Way("gue0-plain", HEADER, None, TREE_GUE, OTHER, Gue),
    Way("gue1", BARE, Format.GUTLESS, TREE_FOU, OTHER, Bare),
    Way("gutless", HEADER, Format.GUTLESS, TREE_FOU, OTHER, Bare),
)


@dataclass(frozen=True)
class Case:
    """One cell of the matrix."""

    way: Way
    csum: Csum
    outer: int
    inner: int

    def __str__(self) -> str:
        return f"{self.way.word}-{self.csum}-v{self.inner}-in-v{self.outer}"


CASES = [
    Case(way, csum, outer, inner)
    for way, csum, outer, inner in itertools.product(WAYS, (Csum.FULL, Csum.ZERO, Csum.REMOTE), (4, 6), (4, 6))
    # of remote checksums the in-tree module knows Linux's private flag in GUE
    if csum is not Csum.REMOTE or way.word == "gue0"
]


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest) -> Iterator[list[dict[str, object]]]:
    """What each cell has shown: a line on the terminal, a table in the results folder."""
    rows: list[dict[str, object]] = []
    yield rows
    Path("/results/interop.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    capture_manager = request.config.pluginmanager.getplugin("capturemanager")
    assert capture_manager is not None
    with capture_manager.global_and_fixture_disabled():
        print(f"\ninterop: {len(rows)} of {len(CASES)}")


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    # checksums are to be computed and verified, so no offload may leave them to somebody else
    with two_ends(module_net) as (a, b, _):
        for family in (4, 6):
            a.port(family, 6080, Accept.GUE0, Accept.BARE)
            a.port(family, 6081, fou=4)
            a.port(family, 6082, fou=41)
        b.host.ip(
            *(
                f"fou add port {port} {what} {six}"
                for six in ("", "-6")
                for port, what in ((7080, "gue"), (7081, "ipproto 4"), (7082, "ipproto 41"))
            )
        )
        yield a, b


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_directions(ends: tuple[End, End], seen: list[dict[str, object]], case: Case) -> None:
    a, b = ends
    there, here = case.way.ports[case.inner]
    # TUNNEL_ENCAP_FLAG_CSUM and _CSUM6
    flag = 0 if case.csum is Csum.ZERO else {4: 1, 6: 2}[case.outer]
    if case.csum is Csum.REMOTE:
        flag |= TUNNEL_ENCAP_FLAG_REMCSUM
    kind = {(4, 4): "ipip", (4, 6): "sit"}.get((case.outer, case.inner), "ip6tnl")
    number = 0 if case.way.format is None else a.profile(case.way.format, case.csum)
    try:
        # the link's own checksum flag is of no account where there is a profile: set it wrong
        ours = flag if not number else flag ^ 3
        to_b, to_a = b.addresses[case.outer], a.addresses[case.outer]
        a.tunnel("tun", to_b, case.way.encap, there, number=number, flags=ours, kind=kind, inner=(case.inner,))
        b.tunnel("tun", to_a, case.way.tree_encap, here, flags=flag, kind=kind, inner=(case.inner,))
        seen.append(exchange(a, b, case, there, here, number))
    finally:
        a.clear()
        b.clear()


def exchange(a: End, b: End, case: Case, there: int, here: int, number: int) -> dict[str, object]:
    """Pings and bulk TCP both ways; then what the wire and the counters have seen."""
    key = next(p.key for p in a.kernel.ports() if p.key.family == case.outer and p.key.port == here)
    received, sent = a.received(key), a.sent(number)
    with capture(a.host, "eth0") as wire:
        assert ping(a.host, b.inner[case.inner], count=2) == 2
        assert ping(b.host, a.inner[case.inner], count=2) == 2
        out, back = wire.outers(there, outgoing=True), wire.outers(here, outgoing=False)
    assert len(out) >= 4 and len(back) >= 4
    for packet in out + back:
        assert packet.ip.version == case.outer
        assert packet.csum == ("none" if case.csum is Csum.ZERO else "ok")
        assert packet.inner(fou={4: 4, 6: 41}[case.inner] if case.way.wire is None else None).version == case.inner
        if case.way.wire is not None:
            assert isinstance(packet.decode().header, case.way.wire)
    forth = assert_tcp(a.host, b.host, b.inner[case.inner], TCP_OCTETS)
    reverse = assert_tcp(b.host, a.host, a.inner[case.inner], TCP_OCTETS)
    # every packet of the stream passed our module, and none was dropped
    segments = TCP_OCTETS // 1460
    assert a.received(key) - received > segments and a.sent(number) - sent > segments
    assert a.drops(key) == {} and a.tx_drops(number) == {}
    return {
        "case": str(case),
        "pings": 4,
        "octets": forth.received + reverse.received,
        "sha256": [forth.received_hash, reverse.received_hash],
    }


def test_matrix_is_whole(seen: list[dict[str, object]], request: pytest.FixtureRequest) -> None:
    """Every cell that was asked for was seen to work, not one skipped."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = {str(item.callspec.params["case"]) for item in items if item.function is test_both_directions}
    assert {row["case"] for row in seen} == asked
