# SPDX-License-Identifier: Apache-2.0
"""Records of ``gutctl.model`` to attributes of the family's requests; answers.py is the way back.

Attributes are a list of (name, value) in the order in which they are sent; the
value of a nest is such a list again. Nothing here talks to a kernel.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address

from gutctl._wire.auth import Key, key_of
from gutctl._wire.options import AREA_MAX, pad
from gutctl._wire.optiontype import Option
from gutctl.errors import GutctlError, UsageError
from gutctl.keyfile import secret_of
from gutctl.model import (
    DEFAULT_INNER,
    Accept,
    Address,
    Answer,
    Csum,
    Format,
    GueFields,
    Network,
    Origin,
    Port,
    PortKey,
    Profile,
    ReceiveRule,
    Rule,
)

from .family import (
    ACCEPT,
    CONTROL_FLAGS,
    CSUM,
    FORMAT,
    OPTION_ACTION,
    ORIGIN,
    PORT_FLAGS,
    PROFILE_FLAGS,
)
from .gue import gue_nest
from .tlv import Attrs

__all__ = [
    "echo_request",
    "port_change",
    "port_key",
    "port_request",
    "profile_change",
    "profile_request",
]


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


def _key(key: Key, *, new: bool) -> Attrs:
    """By its secret; by its fingerprint where that is not known, and the kernel has the key perhaps."""
    attrs: Attrs = [("id", _number("key", key.id, 0, 0xFFFF))]
    try:
        attrs.append(("secret", secret_of(key)))
    except GutctlError:
        if new:
            raise
        attrs.append(("fingerprint", bytes.fromhex(key.fingerprint)))
    if key.name:
        attrs.append(("name", key.name))
    return [*attrs, ("direction", _number("direction", key.direction, 0, 1))]


def _keys(keys: Iterable[Key], *, new: bool) -> Attrs:
    return [("key", _key(key, new=new)) for key in sorted(keys, key=lambda one: one.id)]


def _answers(answers: Iterable[Answer]) -> int:
    return sum(CONTROL_FLAGS[one.value] for one in frozenset(answers))


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
    attrs.append(("control", _answers(port.answers)))
    if port.verify_headers:
        attrs.append(("verify-headers", 1))
    if port.gue:
        attrs.append(("gue", gue_nest(port.gue, new=True)))
    attrs += _rules(port.rules) + _keys(port.keys, new=True)
    return [*attrs, ("require-auth", 1)] if port.require_auth else attrs


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
    keys: Iterable[Key] = (),
    remove_keys: Iterable[int] = (),
    require_auth: bool | None = None,
    gue: GueFields | None = None,
    answers: Iterable[Answer] | None = None,
    verify_headers: bool | None = None,
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
    if answers is not None:
        attrs.append(("control", _answers(answers)))
    if verify_headers is not None:
        attrs.append(("verify-headers", int(verify_headers)))
    if origin is not None:
        attrs.append(("origin", ORIGIN[origin.value]))
    if gue is not None:
        attrs.append(("gue", gue_nest(gue)))
    attrs += _rules(rules, remove_rules) + _keys(keys, new=False)
    attrs += [("key-del", number) for number in sorted(remove_keys)]
    if require_auth is not None:
        attrs.append(("require-auth", int(require_auth)))
    return attrs


def profile_change(
    number: int,
    *,
    format: Format | None = None,
    csum: Csum | None = None,
    source_ports: tuple[int, int] | None = None,
    origin: Origin | None = None,
    options: Iterable[Option] | None = None,
    rules: Iterable[Rule] | None = None,
    gue: GueFields | None = None,
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
    options = None if options is None else tuple(options)
    if options is not None:
        attrs.append(("options", _area(options)))
        if key := key_of(options):
            attrs.append(("key", _key(key, new=not number)))
    if rules is not None:
        attrs += [("rule", _rule(rule)) for rule in rules]
        attrs.append(("flags", PROFILE_FLAGS["replace-rules"]))
    if gue is not None:
        attrs.append(("gue", gue_nest(gue)))
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
    if profile.gue:
        attrs.append(("gue", gue_nest(profile.gue, new=True)))
    if profile.room:
        attrs.append(("room", _number("room", profile.room, 0, 31)))
    return attrs


def echo_request(
    key: PortKey, peer: Address, peer_port: int, body: bytes, options: bytes = b"", ifindex: int = 0
) -> Attrs:
    """What an ECHO says.

    Raises:
        UsageError: a peer of the other family, a port that is none.
    """
    attrs = port_key(key)
    if peer.version != key.family:
        raise UsageError(f"peer {peer} is no IPv{key.family} address")
    attrs.append(("peer-v4", int(peer)) if isinstance(peer, IPv4Address) else ("peer-v6", peer.packed))
    attrs.append(("peer-port", _number("UDP port", peer_port, 0, 65535)))
    if ifindex:
        attrs.append(("peer-ifindex", _number("ifindex", ifindex, 1, 0x7FFFFFFF)))
    if options:
        attrs.append(("options", options))
    attrs.append(("body", body))
    return attrs
