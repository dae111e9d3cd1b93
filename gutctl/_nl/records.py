# SPDX-License-Identifier: Apache-2.0
"""Records of ``gutctl.model`` to attributes of the family, and back.

Attributes are a list of (name, value) in the order in which they are sent; the
value of a nest is such a list again. Nothing here talks to a kernel.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType
from typing import Any, TypeVar

from gutctl._wire.options import AREA_MAX, decode_options, pad
from gutctl._wire.optiontype import Option
from gutctl.errors import GutctlError, UsageError
from gutctl.model import (
    DEFAULT_INNER,
    Accept,
    Csum,
    Format,
    Info,
    Network,
    Origin,
    Port,
    PortKey,
    Profile,
    ReceiveRule,
    Rule,
    RuleAction,
    RuleStats,
    Stats,
)

from .family import (
    ACCEPT,
    CSUM,
    FEATURE,
    FORMAT,
    OPTION_ACTION,
    ORIGIN,
    PORT_FLAGS,
    PROFILE_FLAGS,
    RX,
    TX,
    AttrSet,
)
from .tlv import Attrs

__all__ = [
    "coalesce",
    "decode_info",
    "decode_port",
    "decode_profile",
    "port_change",
    "port_key",
    "port_request",
    "profile_change",
    "profile_request",
]

_E = TypeVar("_E", Accept, Csum, Format, Origin, RuleAction)


# Requests


def _number(what: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise UsageError(f"{what} {value} is not within {low}-{high}")
    return value


def port_key(key: PortKey) -> Attrs:
    """The attributes that name a port.

    Raises:
        UsageError: a family other than 4 and 6, a number that is no UDP port, a
            local address of the other family.
    """
    if key.family not in (4, 6):
        raise UsageError(f"address family {key.family}: give 4 or 6")
    attrs: Attrs = [
        ("family", int(socket.AF_INET if key.family == 4 else socket.AF_INET6)),
        ("port", _number("UDP port", key.port, 0, 65535)),
    ]
    if key.local is not None:
        if key.local.version != key.family:
            raise UsageError(f"local address {key.local} is no IPv{key.family} address")
        if isinstance(key.local, IPv4Address):
            attrs.append(("local-v4", int(key.local)))
        else:
            attrs.append(("local-v6", key.local.packed))
    if key.ifindex:
        attrs.append(("ifindex", _number("ifindex", key.ifindex, 1, 0x7FFFFFFF)))
    return attrs


def _source(network: Network) -> Attrs:
    address = network.network_address
    if isinstance(address, IPv4Address):
        attrs: Attrs = [("v4", int(address))]
    else:
        attrs = [("v6", address.packed)]
    attrs.append(("prefix-len", network.prefixlen))
    return attrs


def _sources(name: str, networks: Iterable[Network]) -> Attrs:
    # sorted, so that equal requests are equal octets
    ordered = sorted(networks, key=lambda n: (n.version, int(n.network_address), n.prefixlen))
    return [(name, _source(network)) for network in ordered]


def _accept(accept: Iterable[Accept]) -> int:
    return sum(ACCEPT[a.value] for a in frozenset(accept))


def _inner(inner: Iterable[int]) -> bytes:
    return bytes(sorted({_number("inner protocol", p, 0, 255) for p in inner}))


def _rules(rules: Iterable[ReceiveRule], gone: Iterable[int] = ()) -> Attrs:
    nests: list[tuple[int, Attrs]] = [(number, [("type", number), ("action", OPTION_ACTION["none"])]) for number in gone]
    for rule in rules:
        nest: Attrs = [("type", rule.type), ("action", OPTION_ACTION[rule.action.value]), ("deliver", int(rule.deliver))]
        nests.append((rule.type, nest if rule.value is None else [*nest, ("value", rule.value)]))
    return [("option-rule", nest) for _, nest in sorted(nests, key=lambda one: one[0])]


def port_request(port: Port) -> Attrs:
    """Everything a PORT_ADD says."""
    attrs = port_key(port.key)
    attrs.append(("accept", _accept(port.accept)))
    if port.fou_protocol is not None:
        attrs.append(("fou-protocol", _number("IP protocol", port.fou_protocol, 0, 255)))
    # of a FOU port the default is the one protocol that fou-protocol names
    if Accept.FOU not in port.accept or port.inner != DEFAULT_INNER:
        attrs.append(("inner", _inner(port.inner)))
    attrs.append(("any-source", int(port.any_source)))
    attrs += _sources("source", port.sources)
    attrs.append(("zero-csum6", int(port.zero_csum6)))
    attrs.append(("origin", ORIGIN[port.origin.value]))
    attrs.append(("remcsum-nopartial", int(port.remcsum_nopartial)))
    return attrs + _rules(port.rules)


def port_change(
    key: PortKey,
    *,
    accept: Iterable[Accept] | None = None,
    fou_protocol: int | None = None,
    inner: Iterable[int] | None = None,
    any_source: bool | None = None,
    add_sources: Iterable[Network] = (),
    remove_sources: Iterable[Network] = (),
    replace_sources: Iterable[Network] | None = None,
    zero_csum6: bool | None = None,
    remcsum_nopartial: bool | None = None,
    rules: Iterable[ReceiveRule] = (),
    remove_rules: Iterable[int] = (),
    origin: Origin | None = None,
) -> Attrs:
    """What a PORT_SET says: the key, and only what is to change.

    Raises:
        UsageError: ``replace_sources`` together with ``add_sources`` or
            ``remove_sources``.
    """
    attrs = port_key(key)
    if accept is not None:
        attrs.append(("accept", _accept(accept)))
    if fou_protocol is not None:
        attrs.append(("fou-protocol", _number("IP protocol", fou_protocol, 0, 255)))
    if inner is not None:
        attrs.append(("inner", _inner(inner)))
    if any_source is not None:
        attrs.append(("any-source", int(any_source)))
    added, removed = list(add_sources), list(remove_sources)
    if replace_sources is not None:
        if added or removed:
            raise UsageError("sources are either replaced, or added and removed, not both at once")
        attrs += _sources("source", replace_sources)
        attrs.append(("flags", PORT_FLAGS["replace-sources"]))
    attrs += _sources("source", added)
    attrs += _sources("source-del", removed)
    if zero_csum6 is not None:
        attrs.append(("zero-csum6", int(zero_csum6)))
    if remcsum_nopartial is not None:
        attrs.append(("remcsum-nopartial", int(remcsum_nopartial)))
    if origin is not None:
        attrs.append(("origin", ORIGIN[origin.value]))
    return attrs + _rules(rules, remove_rules)


def profile_change(
    number: int,
    *,
    format: Format | None = None,
    csum: Csum | None = None,
    source_ports: tuple[int, int] | None = None,
    origin: Origin | None = None,
    options: Iterable[Option] | None = None,
    rules: Iterable[Rule] | None = None,
) -> Attrs:
    """What a PROFILE_SET says; with number 0 none is named (for PROFILE_ADD).

    Raises:
        UsageError: options that are longer than a header, a mark that is no number of 32 bits.
    """
    attrs: Attrs = []
    if number:
        attrs.append(("number", _number("profile", number, 1, 8191)))
    if format is not None:
        attrs.append(("format", FORMAT[format.value]))
    if csum is not None:
        attrs.append(("csum", CSUM[csum.value]))
    if source_ports is not None:
        low, high = (_number("source port", p, 0, 65535) for p in source_ports)
        attrs += [("sport-min", low), ("sport-max", high)]
    if origin is not None:
        attrs.append(("origin", ORIGIN[origin.value]))
    if options is not None:
        attrs.append(("options", _area(options)))
    if rules is not None:
        attrs += [("rule", _rule(rule)) for rule in rules]
        attrs.append(("flags", PROFILE_FLAGS["replace-rules"]))
    return attrs


def _area(options: Iterable[Option]) -> bytes:
    area = b"".join(option.encode() for option in pad(options))
    if len(area) > AREA_MAX:
        raise UsageError(f"{len(area)} octets of options", f"a header has room for {AREA_MAX}")
    return area


def _rule(rule: Rule) -> Attrs:
    return [
        ("mark", _number("mark", rule.mark, 0, 0xFFFFFFFF)),
        ("mask", _number("mask", rule.mask, 0, 0xFFFFFFFF)),
        ("profile", _number("profile", rule.profile, 1, 8191)),
    ]


def profile_request(profile: Profile) -> Attrs:
    """Everything a PROFILE_ADD says."""
    attrs = profile_change(
        profile.number,
        format=profile.format,
        csum=profile.csum,
        source_ports=profile.source_ports,
        origin=profile.origin,
        options=profile.options or None,
        rules=profile.rules or None,
    )
    if profile.room:
        attrs.append(("room", _number("room", profile.room, 0, 31)))
    return attrs


# Answers


def _named(table: Mapping[str, int], value: int, kind: type[_E]) -> _E:
    for name, number in table.items():
        if number == value:
            return kind(name)
    raise GutctlError(
        f"the kernel module speaks of a {kind.__name__.lower()} {value} that this version does not know",
        "update gutctl",
    )


def _bits(table: Mapping[str, int], value: int) -> Iterator[str]:
    """Names of set bits; a bit without a name is called by its number."""
    names = {bit: name for name, bit in table.items()}
    for position in range(value.bit_length()):
        if value & (1 << position):
            yield names.get(1 << position, f"bit{position}")


def _stats(attrs: Attrs | None, table: AttrSet) -> Stats:
    values = dict(attrs or ())
    drops = {
        attr.name.removeprefix("drop-"): int(values.get(attr.name, 0))
        for attr in table
        if attr.name.startswith("drop-")
    }
    # each table has one of the two
    offloaded = values.get("gro-packets", values.get("gso-packets", 0))
    return Stats(
        packets=int(values.get("packets", 0)),
        octets=int(values.get("octets", 0)),
        drops=MappingProxyType(drops),
        offloaded=int(offloaded),
        icmp_errors=int(values.get("icmp-errors", 0)),
    )


def _network(attrs: Attrs) -> Network:
    values = dict(attrs)
    if "v6" in values:
        return IPv6Network((values["v6"], values.get("prefix-len", 128)))
    return IPv4Network((values.get("v4", 0), values.get("prefix-len", 32)))


def _option_rule(attrs: Attrs) -> ReceiveRule:
    values = dict(attrs)
    stats = dict(values.get("stats", ()))
    return ReceiveRule(
        values.get("type", 0),
        _named(OPTION_ACTION, values.get("action", 0), RuleAction),
        bool(values.get("deliver", 0)),
        values.get("value"),
        RuleStats(stats.get("matched", 0), stats.get("dropped", 0), stats.get("delivered", 0)),
    )


def decode_port(attrs: Attrs) -> Port:
    """The port that a message speaks of; a continued one has only some of its rules and sources."""
    values: dict[str, Any] = {}
    sources: set[Network] = set()
    rules: set[ReceiveRule] = set()
    for name, value in attrs:
        if name == "source":
            sources.add(_network(value))
        elif name == "option-rule":
            rules.add(_option_rule(value))
        else:
            values[name] = value
    local: IPv4Address | IPv6Address | None = None
    if "local-v4" in values:
        local = IPv4Address(values["local-v4"])
    elif "local-v6" in values:
        local = IPv6Address(values["local-v6"])
    family = 6 if values.get("family", socket.AF_INET) == socket.AF_INET6 else 4
    return Port(
        key=PortKey(family, values.get("port", 0), local, values.get("ifindex", 0)),
        # a format newer than this version has no name and is left out
        accept=frozenset(Accept(n) for n in _bits(ACCEPT, values.get("accept", 0)) if n in ACCEPT),
        fou_protocol=values.get("fou-protocol") or None,
        inner=frozenset(values.get("inner", b"")),
        any_source=bool(values.get("any-source", 0)),
        sources=frozenset(sources),
        zero_csum6=bool(values.get("zero-csum6", 0)),
        remcsum_nopartial=bool(values.get("remcsum-nopartial", 0)),
        rules=frozenset(rules),
        origin=_named(ORIGIN, values.get("origin", 0), Origin),
        stats=_stats(values.get("stats"), RX),
    )


def coalesce(messages: Iterable[Attrs]) -> list[Port]:
    """Ports of a dump, sorted by key.

    A port with many rules or sources goes on in the next messages, which repeat its
    key and have no stats: what they have is the port's.
    """
    ports: dict[PortKey, Port] = {}
    more: dict[PortKey, tuple[set[Network], set[ReceiveRule]]] = {}
    for attrs in messages:
        port = decode_port(attrs)
        if port.key in ports:
            sources, rules = more.setdefault(port.key, (set(), set()))
            sources |= port.sources
            rules |= port.rules
        else:
            ports[port.key] = port
    for key, (sources, rules) in more.items():
        first = ports[key]
        ports[key] = replace(first, sources=first.sources | sources, rules=first.rules | rules)
    return [ports[key] for key in sorted(ports, key=_order)]


def _order(key: PortKey) -> tuple[int, int, int, int]:
    # "any address" comes before every address; None and an address do not compare
    return key.family, key.port, -1 if key.local is None else int(key.local), key.ifindex


def decode_profile(attrs: Attrs) -> Profile:
    """The profile that a message speaks of."""
    values = dict(attrs)
    rules = [_decode_rule(value) for name, value in attrs if name == "rule"]
    return Profile(
        number=values.get("number", 0),
        format=_named(FORMAT, values.get("format", 0), Format),
        csum=_named(CSUM, values.get("csum", 0), Csum),
        source_ports=(values.get("sport-min", 0), values.get("sport-max", 0)),
        origin=_named(ORIGIN, values.get("origin", 0), Origin),
        stats=_stats(values.get("stats"), TX),
        options=tuple(option for option in decode_options(values.get("options", b"")) if not option.padding),
        rules=tuple(rules),
        room=values.get("room", 0),
    )


def _decode_rule(attrs: Attrs) -> Rule:
    values = dict(attrs)
    return Rule(values.get("mark", 0), values.get("profile", 0), values.get("mask", 0xFFFFFFFF))


def decode_info(attrs: Attrs) -> Info:
    """What the module says of itself."""
    values = dict(attrs)
    return Info(
        version=str(values.get("version", "")),
        features=frozenset(_bits(FEATURE, values.get("features", 0))),
        max_ports=values.get("max-ports", 0),
        max_sources=values.get("max-sources", 0),
        max_profiles=values.get("max-profiles", 0),
        max_nesting=values.get("max-nesting", 0),
        ports=values.get("ports", 0),
        profiles=values.get("profiles", 0),
        unprivileged=bool(values.get("unprivileged", 0)),
        encap_bare=values.get("encap-bare", 0),
        encap_header=values.get("encap-header", 0),
        plain=_stats(values.get("plain"), TX),
    )
