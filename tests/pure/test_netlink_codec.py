# SPDX-License-Identifier: Apache-2.0
"""Records to octets and back, through pyroute2 and without a kernel."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import netlink_strategies as some
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gutctl._nl import answers, links, records
from gutctl._nl.family import CMD, CONTROL, INFO, PORT, PROFILE, RX, TX, AttrSet
from gutctl._nl.gutless import _CLASSES, _TABLE_OF_COMMAND
from gutctl._nl.sockets import plain, to_message
from gutctl._nl.tlv import Attrs
from gutctl.errors import GutctlError, UsageError
from gutctl.model import (
    Accept,
    Address,
    Answer,
    ControlMessage,
    Link,
    Network,
    Origin,
    Port,
    PortKey,
    Profile,
    Stats,
)


def octets(table: AttrSet, attrs: Attrs) -> bytes:
    """What would stand behind the netlink and generic netlink headers."""
    message = to_message(_CLASSES[table.name], attrs, cmd=1, version=1)
    message["header"]["type"] = 42
    message.encode()
    return bytes(message.data[20:])


def through(table: AttrSet, attrs: Attrs) -> Attrs:
    """Encoded and decoded again."""
    body = octets(table, attrs)
    message = _CLASSES[table.name](struct.pack("=IHHIIBBH", 20 + len(body), 42, 0, 7, 0, 1, 1, 0) + body)
    message.decode()
    return plain(message)


def counters(stats: Stats, table: AttrSet) -> Attrs:
    more: Attrs = [("gro-packets", stats.offloaded)]
    if table is TX:
        more = [("gso-packets", stats.offloaded), ("icmp-errors", stats.icmp_errors)]
    return [
        *more,
        ("packets", stats.packets),
        ("octets", stats.octets),
        *((f"drop-{reason}", n) for reason, n in stats.drops.items()),
        *stats.control.items(),
    ]


def test_a_port_request_octet_by_octet() -> None:
    port = Port(
        PortKey(4, 6080, ip_address("192.0.2.1"), 3),
        accept=frozenset({Accept.GUE0, Accept.GUTLESS}),
        inner=frozenset({4, 41}),
        sources=frozenset({IPv4Network("198.51.100.0/24")}),
        answers=frozenset({Answer.REPORT}),
        origin=Origin.TUNNEL,
    )
    words = [
        "0500 0100 02000000",  # family
        "0600 0200 17c00000",  # port, network order
        "0800 0300 c0000201",  # local-v4
        "0800 0500 03000000",  # ifindex
        "0800 0600 0a000000",  # accept
        "0600 0800 04290000",  # inner
        "0500 0900 00000000",  # any-source
        "1400 0a80 0800 0100 c6336400 0500 0300 18000000",  # source, nested
        "0500 0d00 00000000",  # zero-csum6
        "0500 0e00 01000000",  # origin
        "0500 1000 00000000",  # remcsum-nopartial
        "0500 1600 02000000",  # control
    ]
    assert octets(PORT, records.port_request(port)).hex() == "".join(words).replace(" ", "")


def test_an_ipv6_source_octet_by_octet() -> None:
    change = records.port_change(PortKey(6, 1), remove_sources=[IPv6Network("2001:db8::/32")])
    key = "0500 0100 0a000000 0600 0200 00010000"
    source = "2000 0b80 1400 0200 20010db8000000000000000000000000 0500 0300 20000000"
    assert octets(PORT, change).hex() == (key + source).replace(" ", "")


@given(some.ports())
def test_a_port_comes_back(port: Port) -> None:
    attrs = [*records.port_request(port), ("stats", counters(port.stats, RX))]
    back = answers.decode_port(through(PORT, attrs))
    assert back == port
    assert back.stats == port.stats


def test_a_fou_port_leaves_its_inner_protocol_to_the_kernel() -> None:
    port = Port(PortKey(4, 5555), accept=frozenset({Accept.FOU}), fou_protocol=4)
    assert "inner" not in dict(records.port_request(port))


@given(some.profiles())
def test_a_profile_comes_back(profile: Profile) -> None:
    attrs = [*records.profile_request(profile), ("stats", counters(profile.stats, TX))]
    back = answers.decode_profile(through(PROFILE, attrs))
    assert back == profile
    assert back.stats == profile.stats


@given(some.tunnels())
def test_a_tunnel_comes_back(link: Link) -> None:
    tunnel = links.decode(link.kind, links.encode(link))
    assert {name: getattr(tunnel, name) for name in tunnel.__slots__} == {
        name: getattr(link, name) for name in tunnel.__slots__
    }


@given(st.sampled_from(sorted(links.KINDS)), st.binary(max_size=200))
def test_any_octets_are_some_tunnel(kind: str, data: bytes) -> None:
    assert isinstance(links.decode(kind, data), links.Tunnel)


@given(st.data())
def test_a_change_says_what_is_given_and_nothing_else(data: st.DataObject) -> None:
    key = data.draw(some.keys())
    given_values: dict[str, Any] = {
        "accept": data.draw(st.none() | some.OTHERS),
        "inner": data.draw(st.none() | st.sets(st.integers(1, 255), min_size=1)),
        "any_source": data.draw(st.none() | st.booleans()),
        "zero_csum6": data.draw(st.none() | st.booleans()),
        "remcsum_nopartial": data.draw(st.none() | st.booleans()),
        "verify_headers": data.draw(st.none() | st.booleans()),
        "origin": data.draw(st.none() | st.sampled_from(Origin)),
    }
    added = data.draw(st.sets(some.networks(key.family), max_size=4))
    removed = data.draw(st.sets(some.networks(key.family), max_size=4))
    attrs = through(PORT, records.port_change(key, add_sources=added, remove_sources=removed, **given_values))
    names = [name for name, _ in attrs]
    told = {name.replace("_", "-") for name, value in given_values.items() if value is not None}
    assert set(names) - {"source", "source-del"} == told | {n for n, _ in records.port_key(key)}
    assert (names.count("source"), names.count("source-del")) == (len(added), len(removed))
    assert answers.decode_port([a for a in attrs if a[0] != "source-del"]).sources == added


@pytest.mark.parametrize("sources", [frozenset(), frozenset({IPv4Network("10.0.0.0/8")})])
def test_replacing_all_sources_is_said_by_a_flag(sources: frozenset[Network]) -> None:
    attrs = through(PORT, records.port_change(PortKey(4, 1), replace_sources=sources))
    assert ("flags", 1) in attrs
    assert answers.decode_port([a for a in attrs if a[0] != "flags"]).sources == sources


def test_info_comes_back() -> None:
    attrs: Attrs = [
        ("version", "0.1"),
        ("features", 1 << 40 | 1),
        ("max-ports", 1),
        ("max-sources", 2),
        ("max-profiles", 3),
        ("max-nesting", 4),
        ("ports", 5),
        ("profiles", 6),
        ("unprivileged", 1),
        ("encap-bare", 4),
        ("encap-header", 5),
        ("plain", [("packets", 7), ("drop-length", 8)]),
        ("control-rate", 9),
        ("control-source-rate", 10),
    ]
    info = answers.decode_info(through(INFO, attrs))
    assert (info.version, info.unprivileged, info.plain.packets) == ("0.1", True, 7)
    # a feature newer than this version keeps its place
    assert info.features == {"ipv6", "bit40"}
    numbers = (info.max_ports, info.max_sources, info.max_profiles, info.max_nesting, info.ports, info.profiles)
    assert numbers == (1, 2, 3, 4, 5, 6)
    assert (info.encap_bare, info.encap_header) == (4, 5)
    assert info.plain.drops["length"] == 8
    assert (info.control_rate, info.control_source_rate) == (9, 10)


@pytest.mark.parametrize(
    ("peer", "attr"), [("192.0.2.9", ("peer-v4", 0xC0000209)), ("2001:db8::9", ("peer-v6", ip_address("2001:db8::9").packed))]
)
def test_a_control_message_comes_back(peer: str, attr: tuple[str, Any]) -> None:
    address = ip_address(peer)
    local = ip_address("192.0.2.1" if address.version == 4 else "2001:db8::1")
    key = PortKey(address.version, 6080, local, 3)
    asked = records.echo_request(key, address, 7000, b"\0\1\0\2data", b"\1\2\0\0", 4)
    assert attr in asked
    came = [*asked, ("type", 2), ("time", 1 << 60)]
    assert answers.decode_control(through(CONTROL, came)) == ControlMessage(
        key, address, 7000, 4, 2, b"\1\2\0\0", b"\0\1\0\2data", 1 << 60
    )
    with pytest.raises(UsageError):
        records.echo_request(PortKey(10 - address.version, 6080), address, 7000, b"")


def test_every_drop_reason_has_its_zero() -> None:
    port = answers.decode_port([("port", 1)])
    assert set(port.stats.drops) == {a.name.removeprefix("drop-") for a in RX if a.name.startswith("drop-")}
    assert set(port.stats.drops.values()) == {0}
    profile = answers.decode_profile([("number", 1), ("format", 1), ("csum", 1)])
    assert set(profile.stats.drops) == {a.name.removeprefix("drop-") for a in TX if a.name.startswith("drop-")}


def test_an_attribute_of_a_newer_kernel_is_passed_over() -> None:
    body = octets(PORT, [("port", 6080)]) + struct.pack("=HHI", 8, 99, 1)
    message = _CLASSES["port"](struct.pack("=IHHIIBBH", 20 + len(body), 42, 0, 7, 0, 1, 1, 0) + body)
    message.decode()
    assert plain(message) == [("port", 6080)]


V4, V6 = ip_address("192.0.2.1"), IPv6Address("2001:db8::1")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (PortKey(5, 1), "family 5"),
        (PortKey(4, 65536), "65536"),
        (PortKey(4, -1), "-1"),
        (PortKey(4, 1, V6), "no IPv4 address"),
        (PortKey(6, 1, V4), "no IPv6 address"),
    ],
)
def test_a_key_that_is_none(key: PortKey, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        records.port_key(key)


@pytest.mark.parametrize(
    ("kind", "local", "remote", "changes", "words"),
    [
        ("vxlan", None, V4, {}, "no kind of tunnel"),
        ("sit", None, V6, {}, "no IPv4 address"),
        ("ip6tnl", V4, V6, {}, "no IPv6 address"),
        ("sit", None, V4, {"ttl": 256}, "TTL 256"),
        ("sit", None, V4, {"encap_dport": 65536}, "65536"),
        ("gre", None, V4, {"protocol": 4}, "cannot be restricted"),
        ("gre", None, V4, {"ikey": 2**32}, "GRE key"),
        ("sit", None, V4, {"okey": 0}, "has no key"),
    ],
)
def test_a_link_that_is_none(
    kind: str, local: Address | None, remote: Address, changes: dict[str, int], words: str
) -> None:
    fields: dict[str, Any] = {"encap_type": 4, "encap_flags": 0, "encap_sport": 0, "encap_dport": 6080, **changes}
    with pytest.raises(UsageError, match=words):
        links.encode(Link("west", kind, local, remote, **fields))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a:b", "x" * 16, "\N{EURO SIGN}" * 6])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UsageError, match="no name for a device"):
        links.check_name(name)


def test_replacing_and_adding_at_once_is_refused() -> None:
    with pytest.raises(UsageError, match="not both"):
        records.port_change(PortKey(4, 1), add_sources=[IPv4Network("10.0.0.0/8")], replace_sources=[])


def test_words_that_no_record_has() -> None:
    with pytest.raises(GutctlError, match="does not know"):
        answers.decode_profile([("number", 1), ("format", 9), ("csum", 1)])


@pytest.mark.parametrize("wrong", [(0, 70000), (-1, 5)])
def test_a_source_port_that_is_none(wrong: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="source port"):
        records.profile_change(1, source_ports=wrong)


def test_commands_have_the_class_of_their_attributes() -> None:
    assert _TABLE_OF_COMMAND[CMD["port-del-ntf"]] is PORT
    assert _TABLE_OF_COMMAND[CMD["profile-get"]] is PROFILE
    assert socket.AF_INET6 == dict(records.port_key(PortKey(6, 1)))["family"]
