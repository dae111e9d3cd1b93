# SPDX-License-Identifier: Apache-2.0
"""A tunnel: a sending link, a receiving port and perhaps a profile, as one record.

Wanted and running state have the same type, so that their difference is a plain
comparison. What holds it in the kernel:

======================  =====================================================
remote is IPv4, any     link ``sit`` with protocol 0 (``mode any``)
remote is IPv6, any     link ``ip6tnl`` with protocol 0
format ``fou``          one inner protocol: ``ipip`` (4), ``sit`` (41) or
                        ``ip6tnl`` (4 or 41), as a FOU port takes one only
``gutless``, ``fou``    encapsulation type 4: nothing but UDP
``gue``                 encapsulation type 5: UDP and a 4-octet header
source ports a range    a profile, its number in bits 3-15 of the flags
receiving port          the link's alias (:mod:`gutctl.alias`)
======================  =====================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum, unique

from gutctl.alias import Alias
from gutctl.errors import UsageError
from gutctl.model import (
    DEFAULT_PORT,
    DEFAULT_SOURCE_PORTS,
    Accept,
    Address,
    Csum,
    Format,
    Info,
    Link,
    Network,
    Port,
    Profile,
)
from gutctl.portlist import Ports

__all__ = ["ENCAP_BARE", "ENCAP_HEADER", "Inner", "Tunnel", "from_link", "is_tunnel", "to_link"]

ENCAP_BARE = 4
"""GUTLESS_ENCAP_BARE, where no loaded module tells its own number."""
ENCAP_HEADER = 5
"""GUTLESS_ENCAP_HEADER."""
FLAG_CSUM = 1
"""TUNNEL_ENCAP_FLAG_CSUM: the outer UDP checksum over IPv4."""
FLAG_CSUM6 = 2
"""TUNNEL_ENCAP_FLAG_CSUM6: over IPv6."""
PROFILE_SHIFT = 3
"""GUTLESS_PROFILE_SHIFT: the number stands above the kernel's own flags."""
MODES = {"sit": "ip", "ipip": "ip", "ip6tnl": "ip", "gre": "gre", "ip6gre": "gre",
         "gretap": "eth", "ip6gretap": "eth"}  # fmt: skip


@unique
class Inner(StrEnum):
    """What IP is inside; FOU must say one."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


_PROTOCOL = {Inner.ANY: 0, Inner.IPV4: 4, Inner.IPV6: 41}


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel, wanted or running."""

    name: str
    remote: Address
    local: Address | None = None
    """None: as the route says, packet by packet (IPv4 only)."""
    mode: str = "ip"
    """ip; gre and eth are read but not made yet."""
    format: Format = Format.GUTLESS
    inner: Inner = Inner.ANY
    port: int | None = DEFAULT_PORT
    """The receiving UDP port, None: it sends only."""
    peer_port: int = DEFAULT_PORT
    source_ports: tuple[int, int] = DEFAULT_SOURCE_PORTS
    """Both ends included; equal ends: a fixed one."""
    csum: Csum = Csum.FULL
    mtu: int | None = None
    """Octets of the inner packet; None: not known yet."""
    mtu_fixed: bool = False
    """It was given, and does not follow the route."""
    ttl: int = 64
    """0: inherited from the inner packet."""
    tos: int = 0
    """1: inherited."""
    addresses: tuple[str, ...] = ()
    up: bool = True
    sources: frozenset[Network] = frozenset()
    """Prefixes the port allows for this tunnel's sake."""
    any_source: bool = False
    """The port lets everybody in for this tunnel's sake."""
    profile: int = 0
    profile_missing: bool = False
    """The link names a profile that is not there: it sends nothing."""
    kind: str = ""
    """rtnetlink kind of the running link."""
    inferred: bool = False
    """The link has no alias of ours: the receiving port is a guess."""
    link: Link | None = None

    @property
    def family(self) -> int:
        """4 or 6, of the outer packet."""
        return self.remote.version

    @property
    def by_flow(self) -> bool:
        """Source ports as the kernel chooses them without a profile."""
        return self.source_ports == DEFAULT_SOURCE_PORTS

    @property
    def fixed_source_port(self) -> int:
        """The one source port, 0 where there is a range."""
        low, high = self.source_ports
        return low if low == high else 0

    @property
    def header(self) -> bool:
        """Whether there is a base header between UDP and the inner packet."""
        return self.format is Format.GUE

    @property
    def protocol(self) -> int:
        """The inner IP protocol the link is restricted to, 0: none."""
        return _PROTOCOL[self.inner]

    @property
    def alias(self) -> Alias:
        """What the link's alias says."""
        return Alias(self.port, self.sources, self.any_source, self.mtu_fixed)

    @property
    def accept(self) -> Accept:
        """The format that the receiving port must accept for such a peer."""
        return {Format.FOU: Accept.FOU, Format.GUE: Accept.GUE0, Format.GUTLESS: Accept.BARE}[self.format]

    def mtu_over(self, path_mtu: int) -> int:
        """The MTU it has over a path with this one, both in octets."""
        from gutctl import encap

        try:
            return encap.tunnel_mtu(path_mtu, self.format, self.family)
        except encap.EncapError as error:
            raise UsageError(f"{self.name}: {error}") from None

    def mtu_bounds(self) -> tuple[int, int]:
        """The least and the most octets its link can be set to."""
        from gutctl import encap

        # sit will not go below the least MTU of IPv6, the others not below IPv4's
        least = 1280 if kind_of(self) == "sit" else 68
        return least, encap.max_inner(self.format, self.family)

    def wanted_profile(self) -> Profile | None:
        """The profile it needs, without its number; None where it needs none."""
        if self.by_flow or self.fixed_source_port:
            return None
        return Profile(0, self.format, self.csum, self.source_ports)


def is_tunnel(link: Link, info: Info | None) -> bool:
    """Whether the link's packets are ours to encapsulate."""
    bare, header = _types(info)
    return link.encap_type in (bare, header) and link.remote is not None


def _types(info: Info | None) -> tuple[int, int]:
    return (info.encap_bare, info.encap_header) if info else (ENCAP_BARE, ENCAP_HEADER)


def kind_of(tunnel: Tunnel) -> str:
    """The rtnetlink kind that carries it."""
    if tunnel.mode != "ip":
        raise UsageError(f"--mode {tunnel.mode} is not there yet", "mode ip carries IPv4 and IPv6 packets")
    if tunnel.family == 6:
        return "ip6tnl"
    return "ipip" if tunnel.inner is Inner.IPV4 else "sit"


def to_link(tunnel: Tunnel, info: Info | None = None) -> Link:
    """The link that is this tunnel; UsageError where its alias would be too long."""
    flag = FLAG_CSUM if tunnel.family == 4 else FLAG_CSUM6
    bare, header = _types(info)
    return Link(
        name=tunnel.name,
        kind=kind_of(tunnel),
        local=tunnel.local,
        remote=tunnel.remote,
        encap_type=header if tunnel.header else bare,
        encap_flags=tunnel.profile << PROFILE_SHIFT | (flag if tunnel.csum is Csum.FULL else 0),
        encap_sport=tunnel.fixed_source_port,
        encap_dport=tunnel.peer_port,
        protocol=tunnel.protocol,
        ttl=tunnel.ttl,
        tos=tunnel.tos,
        mtu=tunnel.mtu,
        alias=tunnel.alias.encode(),
    )


def from_link(link: Link, info: Info | None, profiles: Mapping[int, Profile], ports: Iterable[Port]) -> Tunnel | None:
    """The tunnel that a running link is; None where the link is not ours.

    ``profiles``, by number, and ``ports`` are those of the namespace the link sends from.
    """
    if not is_tunnel(link, info) or link.remote is None:
        return None
    bare, _ = _types(info)
    number = link.encap_flags >> PROFILE_SHIFT
    profile = profiles.get(number) if number else None
    flag = FLAG_CSUM if link.remote.version == 4 else FLAG_CSUM6
    csum = Csum.FULL if link.encap_flags & flag else Csum.ZERO
    source_ports = DEFAULT_SOURCE_PORTS
    if profile is not None:
        csum, source_ports = profile.csum, profile.source_ports
    if link.encap_sport:
        source_ports = (link.encap_sport, link.encap_sport)
    if link.encap_type == bare:
        form = Format.FOU if link.protocol in (4, 41) else Format.GUTLESS
    else:
        form = profile.format if profile is not None else Format.GUE
    tunnel = Tunnel(
        name=link.name,
        remote=link.remote,
        local=link.local,
        mode=MODES.get(link.kind, link.kind),
        format=form,
        inner={4: Inner.IPV4, 41: Inner.IPV6}.get(link.protocol, Inner.ANY),
        peer_port=link.encap_dport,
        source_ports=source_ports,
        csum=csum,
        mtu=link.mtu,
        ttl=link.ttl,
        tos=link.tos,
        addresses=link.addresses,
        up=link.up,
        profile=number,
        profile_missing=number != 0 and profile is None,
        kind=link.kind,
        link=link,
    )
    alias = Alias.decode(link.alias)
    if alias is None:
        return replace(tunnel, inferred=True, port=_guess(link, ports))
    return replace(
        tunnel,
        port=alias.port,
        sources=alias.added,
        any_source=alias.any_source,
        mtu_fixed=alias.mtu_fixed,
    )


def _guess(link: Link, ports: Iterable[Port]) -> int:
    """A fixed source port that is a port of ours; else both ends use one number."""
    if link.encap_sport and link.remote is not None and Ports.of(ports).has(link.remote.version, link.encap_sport):
        return link.encap_sport
    return link.encap_dport
