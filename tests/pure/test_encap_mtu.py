# SPDX-License-Identifier: Apache-2.0
"""What a tunnel costs, and what is left."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gutctl import encap
from gutctl.encap import EncapError, Gue, Gutless, Option

KINDS = {4: ["ipip", "sit", "gre", "gretap"], 6: ["ip6tnl", "ip6gre", "ip6gretap"]}


@pytest.mark.parametrize(
    ("args", "octets"),
    [
        (("fou", 4), 28),
        (("fou", 6), 48),
        (("bare", 4, "sit"), 28),
        (("gutless", 4, "sit"), 28),
        (("gutless", 6, "ip6tnl"), 48),
        (("gutless", 4, "sit", 5), 52),  # 20 octets of options: 1472 becomes 1448
        (("gue", 4, "ipip"), 32),
        (("gue", 6, "ip6tnl"), 52),
        (("gue", 4, "ipip", 31), 156),
        (("fou", 4, "gre"), 32),
        (("gutless", 4, "gre"), 36),
        (("gue", 4, "gretap"), 50),
        (("gue", 6, "ip6gretap"), 70),
    ],
)
def test_overhead(args: tuple[Any, ...], octets: int) -> None:
    assert encap.overhead(*args) == octets
    assert encap.tunnel_mtu(1500, *args) == 1500 - octets


def test_overhead_of_what_is_rare() -> None:
    assert encap.overhead("gutless", 4, "sit", check=True) == 32
    assert encap.overhead("gue", 6, "ip6tnl", encap_limit=True) == 60
    assert encap.overhead("gue", 6, "ip6gretap", key=True) == 74
    assert encap.tunnel_mtu(1500, "fou", 4, "gre", key=True) == encap.path_mtu(1464, "fou", 4, "gre", key=True) - 36
    assert encap.max_inner("fou", 4, "gre") - encap.max_inner("fou", 4, "gre", key=True) == 4


@given(st.integers(0, 31))
def test_base_header_is_as_long_as_one_that_is_sent(words: int) -> None:
    options = (Option(0),) * (4 * words)
    assert encap.base_octets("gutless", words, bare=False) == len(encap.encode(Gutless(47, options)))
    assert encap.base_octets("gue", words) == len(encap.encode(Gue(47, surplus=bytes(4 * words))))


tunnels = st.sampled_from([4, 6]).flatmap(
    lambda family: st.tuples(st.just(family), st.sampled_from(KINDS[family]), st.integers(0, 31))
)


@given(st.sampled_from(["fou", "bare", "gue", "gutless"]), tunnels, st.integers(1, 70000))
def test_tunnel_mtu_and_path_mtu_are_inverse(form: str, tunnel: tuple[int, str, int], path: int) -> None:
    family, kind, words = tunnel
    if form in ("fou", "bare"):
        words = 0
    extra = encap.overhead(form, family, kind, words)
    assume(path > extra)
    left = encap.tunnel_mtu(path, form, family, kind, words)
    assert left <= encap.max_inner(form, family, kind, words)
    assert encap.path_mtu(left, form, family, kind, words) == left + extra
    if left < encap.max_inner(form, family, kind, words):
        assert left + extra == path


@pytest.mark.parametrize("form", ["fou", "gue", "gutless"])
@pytest.mark.parametrize("kind", ["ipip", "gre", "ip6tnl", "ip6gretap"])
def test_largest_inner_packet_fills_a_length_field(form: str, kind: str) -> None:
    family = 6 if kind.startswith("ip6") else 4
    largest = encap.max_inner(form, family, kind)
    datagram = largest + encap.overhead(form, family, kind) - {4: 20, 6: 40}[family]
    # over IPv4 the total length, which counts the IP header, is full first
    assert datagram == {4: 65515, 6: 65535}[family]
    with pytest.raises(EncapError):
        encap.path_mtu(largest + 1, form, family, kind)


@pytest.mark.parametrize(
    "make",
    [
        lambda: encap.overhead("vxlan", 4),
        lambda: encap.overhead("gue", 5),
        lambda: encap.overhead("gue", 4, "ip6tnl"),
        lambda: encap.overhead("gue", 6, "sit"),
        lambda: encap.overhead("gue", 4, "bridge"),
        lambda: encap.overhead("gue", 4, "sit", 32),
        lambda: encap.overhead("fou", 4, "sit", 1),
        lambda: encap.overhead("fou", 4, "sit", check=True),
        lambda: encap.overhead("gue", 4, "sit", encap_limit=True),
        lambda: encap.overhead("gue", 4, "sit", key=True),
        lambda: encap.tunnel_mtu(32, "gue", 4),
        lambda: encap.tunnel_mtu(-1, "gue", 4),
        lambda: encap.path_mtu(0, "gue", 4),
    ],
)
def test_what_does_not_exist_is_refused(make: Any) -> None:
    with pytest.raises(EncapError) as caught:
        make()
    assert caught.value.hint
