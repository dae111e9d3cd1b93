# SPDX-License-Identifier: Apache-2.0
"""``gutctl.encap``'s arithmetic and the kernel's own answers are the same numbers.

      a                                               b
    +--------------------------+                    +--------------------------+
    | tun, of every kind       |   eth0 ---- eth0   | tun, the same            |
    | and format               |   offloads off     | port 6080, 6081, 6082    |
    +--------------------------+   (captured at a)  +--------------------------+
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from capture import capture
from ends import BARE, HEADER, End, two_ends
from net import Net
from pings import ping

from gutctl.encap import overhead, tunnel_mtu
from gutctl.model import Format

PROTOCOL = {4: 4, 6: 41}
KINDS = {"ipip": 4, "sit": 4, "gre": 4, "gretap": 4, "ip6tnl": 6, "ip6gre": 6, "ip6gretap": 6}
LOWER = [1500, 1501, 2000, 9000, 65535, *random.Random(6080).sample(range(1502, 65535), 3)]


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    # offloads are off: what the capture shows is as long as what is sent
    with two_ends(module_net) as (a, b, _):
        for end in (a, b):
            for family in (4, 6):
                end.port(family, 6080)
                end.port(family, 6081, fou=4)
                end.port(family, 6082, fou=41)
        yield a, b


@pytest.mark.parametrize("kind", KINDS)
def test_mtu_that_the_kernel_gives_a_link(gutless: None, net: Net, kind: str) -> None:
    """Over lower devices of several MTUs, for each type of encapsulation, and for the longest headers."""
    with two_ends(net) as (a, b, _):
        to = b.addresses[KINDS[kind]]
        for lower in LOWER:
            a.kernel.link_set("eth0", mtu=lower)
            forms = [("fou", BARE, 0), ("gue", HEADER, 0), ("gue", HEADER, 1), ("gue", HEADER, 31)]
            for form, encap, words in forms:
                # the number alone tells the header's length; the profile need not be there
                a.tunnel("tun", to, encap, 6080, number=words << 8 | 9, kind=kind, up=False)
                link = a.kernel.link("tun")
                a.clear()
                assert link is not None
                assert link.mtu == tunnel_mtu(lower, form, KINDS[kind], kind, words), (lower, form, words)


@pytest.mark.parametrize("inner", (4, 6))
@pytest.mark.parametrize(
    ("form", "encap", "format", "kind"),
    [
        ("fou", BARE, Format.FOU, "sit"),
        ("fou", BARE, Format.FOU, "ip6tnl"),
        ("bare", BARE, Format.GUTLESS, "sit"),
        ("bare", BARE, Format.GUTLESS, "ip6tnl"),
        ("gue", HEADER, Format.GUE, "sit"),
        ("gue", HEADER, Format.GUE, "ip6tnl"),
        ("gue", HEADER, Format.GUE, "gre"),
        ("gutless", HEADER, Format.GUTLESS, "gre"),
        ("gutless", HEADER, Format.GUTLESS, "ip6gre"),
    ],
    ids=str,
)
def test_largest_ping_and_one_octet_more(
    ends: tuple[End, End], form: str, encap: int, format: Format, kind: str, inner: int
) -> None:
    a, b = ends
    family = KINDS[kind]
    port = {4: 6081, 6: 6082}[inner] if format is Format.FOU else 6080
    largest = tunnel_mtu(1500, form, family, kind)
    head = {4: 28, 6: 48}[inner]
    try:
        for end, other in ((a, b), (b, a)):
            number = end.profile(format)
            end.tunnel("tun", other.addresses[family], encap, port, number=number, kind=kind, inner=(inner,))
        with capture(a.host, "eth0") as wire:
            assert ping(a.host, b.inner[inner], octets=largest - head, dont_fragment=True) == 1
            sizes = {p.ip.octets for p in wire.outers(port, outgoing=True)}
            # the wire is full to the last octet
            assert max(sizes) == 1500 == largest + overhead(form, family, kind)

            with pytest.raises(OSError, match="Message too long"):
                ping(a.host, b.inner[inner], octets=largest - head + 1, dont_fragment=True)
            # nor does it pass where the link has been told to take it
            a.kernel.link_set("tun", mtu=largest + 1)
            assert not passes(a, b.inner[inner], largest + 1 - head)
            assert max(p.ip.octets for p in wire.outers(port, outgoing=True)) == 1500
    finally:
        a.clear()
        b.clear()


def passes(end: End, address: str, octets: int) -> bool:
    """Whether any of some pings comes back; the first one may teach the path MTU that the next runs into."""
    try:
        return ping(end.host, address, octets=octets, count=2, seconds=1, dont_fragment=True) > 0
    except OSError:
        return False
