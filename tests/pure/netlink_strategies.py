# SPDX-License-Identifier: Apache-2.0
"""Random records, as the kernel could hold them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType

from hypothesis import strategies as st

from gutctl._nl.family import RX, TX, AttrSet
from gutctl._nl.links import KINDS
from gutctl.model import (
    Accept,
    Address,
    Answer,
    Csum,
    Format,
    Link,
    Network,
    Origin,
    Port,
    PortKey,
    Profile,
    ReceiveRule,
    RuleAction,
    RuleStats,
    Stats,
)

U16 = st.integers(1, 0xFFFF)
U64 = st.integers(0, 2**64 - 1)
OTHERS = st.sets(st.sampled_from([Accept.GUE0, Accept.BARE, Accept.GUTLESS]), min_size=1)


def v4() -> st.SearchStrategy[IPv4Address]:
    return st.integers(1, 2**32 - 1).map(IPv4Address)


def v6() -> st.SearchStrategy[IPv6Address]:
    return st.integers(1, 2**128 - 1).map(IPv6Address)


def addresses(family: int) -> st.SearchStrategy[Address]:
    return v4() if family == 4 else v6()


@st.composite
def networks(draw: st.DrawFn, family: int) -> Network:
    if family == 4:
        return IPv4Network((draw(v4()), draw(st.integers(0, 32))), strict=False)
    return IPv6Network((draw(v6()), draw(st.integers(0, 128))), strict=False)


@st.composite
def stats(draw: st.DrawFn, table: AttrSet) -> Stats:
    reasons = [a.name.removeprefix("drop-") for a in table if a.name.startswith("drop-")]
    drops = {reason: draw(U64) for reason in reasons}
    icmp_errors = draw(U64) if table is TX else 0
    names = [a.name for a in table if a.name.startswith(("echo-", "reports"))]
    control = MappingProxyType({name: draw(U64) for name in names})
    return Stats(draw(U64), draw(U64), MappingProxyType(drops), draw(U64), icmp_errors, control)


@st.composite
def keys(draw: st.DrawFn) -> PortKey:
    family = draw(st.sampled_from([4, 6]))
    local = draw(st.none() | addresses(family))
    return PortKey(family, draw(U16), local, draw(st.integers(0, 2**31 - 1)) if local else 0)


@st.composite
def rules(draw: st.DrawFn) -> ReceiveRule:
    action = draw(st.sampled_from(RuleAction))
    value = draw(st.none() | st.binary(max_size=122)) if action is RuleAction.REQUIRE else None
    special = {0x58, 0x59, 0x5A, 0x5B} if value is not None else {0x59}
    number = draw(st.integers(2, 255).filter(lambda n: n not in special))
    deliver = draw(st.booleans()) if action is not RuleAction.DROP else False
    return ReceiveRule(number, action, deliver, value, RuleStats(draw(U64), draw(U64), draw(U64)))


@st.composite
def ports(draw: st.DrawFn) -> Port:
    key = draw(keys())
    protocol = draw(st.none() | st.integers(1, 255))
    accept = frozenset({Accept.FOU}) if protocol else frozenset(draw(OTHERS))
    inner = frozenset(draw(st.sets(st.integers(1, 255), min_size=1)))
    return Port(
        key=key,
        accept=accept,
        fou_protocol=protocol,
        inner=inner | {protocol} if protocol else inner,
        any_source=draw(st.booleans()),
        sources=frozenset(draw(st.sets(networks(key.family), max_size=8))),
        zero_csum6=draw(st.booleans()),
        remcsum_nopartial=draw(st.booleans()),
        verify_headers=draw(st.booleans()),
        rules=frozenset({one.type: one for one in draw(st.lists(rules(), max_size=4))}.values()),
        answers=frozenset(draw(st.sets(st.sampled_from(Answer)))),
        origin=draw(st.sampled_from(Origin)),
        stats=draw(stats(RX)),
    )


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    return Profile(
        number=draw(st.integers(1, 8191)),
        format=draw(st.sampled_from(Format)),
        csum=draw(st.sampled_from(Csum)),
        source_ports=(draw(U16), draw(U16)),
        origin=draw(st.sampled_from(Origin)),
        stats=draw(stats(TX)),
    )


@st.composite
def tunnels(draw: st.DrawFn) -> Link:
    """A link with what IFLA_INFO_DATA can say of it."""
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    address = addresses(kind.family)
    octet = st.integers(0, 255)
    key = st.none() | st.integers(0, 2**32 - 1) if kind.has_key else st.none()
    flags = st.sampled_from([0, 0x8000, 0x1000, 0x9000]) if kind.has_key else st.just(0)
    return Link(
        name="west",
        kind=kind.name,
        local=draw(st.none() | address),
        remote=draw(st.none() | address),
        encap_type=draw(st.integers(0, 7)),
        encap_flags=draw(st.integers(0, 0xFFFF)),
        encap_sport=draw(st.integers(0, 0xFFFF)),
        encap_dport=draw(st.integers(0, 0xFFFF)),
        protocol=draw(octet) if kind.has_protocol else 0,
        ttl=draw(octet),
        tos=draw(octet),
        pmtudisc=draw(st.booleans()) if kind.family == 4 else True,
        ikey=draw(key),
        okey=draw(key),
        iflags=draw(flags),
        oflags=draw(flags),
        device=draw(st.integers(0, 2**31 - 1)),
    )
