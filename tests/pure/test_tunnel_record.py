# SPDX-License-Identifier: Apache-2.0
"""A tunnel to a link and back; what the alias holds."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gutctl.alias import ALIAS_MAX, Alias
from gutctl.errors import UsageError
from gutctl.kinds import usual_kind
from gutctl.model import DEFAULT_SOURCE_PORTS, Csum, Format, Link, Origin, Port, PortKey, Profile
from gutctl.tunnel import PROTOCOL, Inner, Tunnel, from_link, to_link

NETWORKS: st.SearchStrategy[IPv4Network | IPv6Network] = st.one_of(
    st.builds(lambda a, n: ip_network((a, n), strict=False), st.ip_addresses(v=4), st.integers(0, 32)),
    st.builds(lambda a, n: ip_network((a, n), strict=False), st.ip_addresses(v=6), st.integers(0, 128)),
)
PORTS = st.integers(1, 65535)


@given(st.none() | PORTS, st.frozensets(NETWORKS, max_size=40), st.booleans(), st.booleans())
def test_alias_there_and_back_or_refused(
    port: int | None, added: frozenset[IPv4Network | IPv6Network], any_source: bool, fixed: bool
) -> None:
    alias = Alias(port, added, any_source, fixed)
    try:
        text = alias.encode()
    except UsageError as error:
        assert "prefixes are more than" in error.message
        assert error.hint is not None and "port add" in error.hint
        assert len(added) > 3
        return
    assert len(text) <= ALIAS_MAX
    assert Alias.decode(text) == alias


@pytest.mark.parametrize(
    "text", ["", "uplink", "gutlessly", "gutless port=0", "gutless port=70000", "gutless port=x",
             "gutless added=nonsense", "my gutless port=6080"],
)  # fmt: skip
def test_foreign_aliases_are_nobodys(text: str) -> None:
    assert Alias.decode(text) is None


@given(st.text(max_size=60))
def test_any_alias_is_read_without_an_error(text: str) -> None:
    Alias.decode(text)
    Alias.decode("gutless " + text)


def test_words_of_a_later_version_do_not_hurt() -> None:
    assert Alias.decode("gutless port=6080 later=1 any") == Alias(6080, any_source=True)


@st.composite
def tunnels(draw: st.DrawFn) -> Tunnel:
    family = draw(st.sampled_from([4, 6]))
    remote = ip_address("198.51.100.7" if family == 4 else "2001:db8::7")
    local = ip_address("203.0.113.5" if family == 4 else "2001:db8::5")
    form = draw(st.sampled_from(list(Format)))
    mode = draw(st.sampled_from(["ip", "gre", "eth"]))
    csums = {
        Format.FOU: [Csum.FULL, Csum.ZERO],
        Format.GUTLESS: [Csum.FULL, Csum.ZERO, Csum.REMOTE, Csum.NEUTRAL],
        Format.GUE: [csum for csum in Csum if csum is not Csum.NEUTRAL],
    }
    inner = Inner.ANY
    if mode == "ip":
        inner = draw(st.sampled_from([Inner.IPV4, Inner.IPV6] if form is Format.FOU else list(Inner)))
    kinds = {("ip", 4): ["ipip", "sit"] if inner is not Inner.IPV6 else ["sit"]}.get((mode, family), [""])
    kind = draw(st.sampled_from(kinds))
    low = draw(PORTS)
    sport = draw(st.sampled_from([DEFAULT_SOURCE_PORTS, (low, low), (low, 65535)]))
    return Tunnel(
        "west",
        remote,
        draw(st.sampled_from([None, local])),
        format=form,
        mode=mode,
        link_kind="" if kind and kind == usual_kind(mode, family, PROTOCOL[inner]) else kind,
        key=draw(st.none() | st.integers(family == 6, 2**32 - 1)) if mode != "ip" else None,
        inner=inner,
        port=draw(st.none() | PORTS),
        peer_port=draw(PORTS),
        source_ports=sport,
        csum=draw(st.sampled_from(csums.get(form, list(Csum)))),
        pmtudisc=draw(st.booleans()) if family == 4 else True,
        mtu=draw(st.integers(1280, 9000)),
        mtu_fixed=draw(st.booleans()),
        ttl=draw(st.integers(0, 255)),
        tos=draw(st.integers(0, 255)),
        any_source=draw(st.booleans()),
        up=False,
    )


@given(tunnels())
def test_link_and_back(tunnel: Tunnel) -> None:
    wanted = tunnel.wanted_profile()
    profiles = {}
    if wanted is not None:
        profiles = {9: replace(wanted, number=9)}
        tunnel = replace(tunnel, profile=9)
    link = to_link(tunnel)
    back = from_link(link, None, profiles, [])
    assert back is not None
    assert replace(back, link=None, kind="") == tunnel
    assert to_link(back) == link


@given(tunnels())
def test_number_and_checksum_have_their_bits(tunnel: Tunnel) -> None:
    link = to_link(replace(tunnel, profile=255))
    bit = 1 if tunnel.family == 4 else 2
    assert link.encap_flags == 255 << 3 | (0 if tunnel.csum is Csum.ZERO else bit)
    assert link.encap_flags < 1 << 16
    beyond_ip = tunnel.mode != "ip" or tunnel.csum in (Csum.REMOTE, Csum.NEUTRAL)
    header = {Format.FOU: False, Format.GUE: True, Format.GUTLESS: beyond_ip}[tunnel.format]
    assert link.encap_type == (5 if header else 4)
    assert (tunnel.wanted_profile() is None) <= (not header or tunnel.format is Format.GUE)


def link(**given: object) -> Link:
    base = Link("west", "sit", None, ip_address("198.51.100.7"), 4, 1, 0, 6080)
    return replace(base, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("sport", "port"), [(0, 6080), (7000, 7000), (7001, 6080)])
def test_port_without_an_alias(sport: int, port: int) -> None:
    """A fixed source port counts where a port of ours has that number."""
    here = [Port(PortKey(4, 7000)), Port(PortKey(6, 7001))]
    seen = from_link(link(encap_sport=sport, alias="uplink"), None, {}, here)
    assert seen is not None and seen.inferred and seen.port == port


@pytest.mark.parametrize("encap", [0, 3, 6, 7])
def test_other_encapsulations_are_not_ours(encap: int) -> None:
    assert from_link(link(encap_type=encap), None, {}, []) is None


def test_a_missing_profile_is_still_a_tunnel() -> None:
    seen = from_link(link(encap_flags=7 << 3 | 1), None, {8: Profile(8, Format.GUE, origin=Origin.ADMIN)}, [])
    assert seen is not None and seen.profile == 7 and seen.csum is Csum.FULL


@pytest.mark.parametrize(
    ("form", "remote", "mtu"),
    [(Format.GUTLESS, "198.51.100.7", 1472), (Format.GUE, "198.51.100.7", 1468),
     (Format.FOU, "198.51.100.7", 1472), (Format.GUTLESS, "2001:db8::7", 1452), (Format.GUE, "2001:db8::7", 1448)],
)  # fmt: skip
def test_mtu_of_a_path(form: Format, remote: str, mtu: int) -> None:
    assert Tunnel("west", ip_address(remote), format=form).mtu_over(1500) == mtu
