# SPDX-License-Identifier: Apache-2.0
"""A tunnel: a sending link, a receiving port and perhaps a profile, as one record.

Wanted and running state have the same type, so that their difference is a plain
comparison. What holds it in the kernel:

======================  =====================================================
mode, outer family      the kind of link: :mod:`gutctl.kinds`
inner ``any``           protocol 0 (``mode any``); a FOU port takes one
                        protocol only, so format ``fou`` must say 4 or 41
nothing but UDP         encapsulation type 4: ``fou``, and ``gutless`` where
                        what is inside is IP with its checksum
UDP and a base header   encapsulation type 5: ``gue``, and ``gutless`` else
profile                 its number in bits 3-15 of the flags; needed for source
                        ports that are a range, checksums left to the receiver,
                        and ``gutless`` with a header (without it: ``gue``)
key                     GRE's, the same both ways
receiving port          the link's alias (:mod:`gutctl.alias`)
======================  =====================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum, unique

from gutctl._wire.optiontype import Option
from gutctl.alias import Alias
from gutctl.backend import BACKENDS, Backend, backend, module_of
from gutctl.errors import UsageError
from gutctl.kinds import KINDS, check_kind, usual_kind
from gutctl.model import (
    ANY_SEGMENTS,
    DEFAULT_PORT,
    DEFAULT_SOURCE_PORTS,
    NO_FIELDS,
    ONE_BY_ONE,
    Accept,
    Address,
    Csum,
    Format,
    GueFields,
    Info,
    Link,
    Module,
    Network,
    Port,
    Profile,
    Rule,
    differ,
    option_words,
)
from gutctl.portlist import Ports

__all__ = [
    "ENCAP_BARE",
    "ENCAP_HEADER",
    "GRE",
    "PROTOCOL",
    "Inner",
    "Tunnel",
    "from_link",
    "is_tunnel",
    "kind_of",
    "to_link",
]

ENCAP_BARE = BACKENDS[Module.GUTLESS].bare
"""GUTLESS_ENCAP_BARE, where no loaded module tells its own number."""
ENCAP_HEADER = BACKENDS[Module.GUTLESS].header
"""GUTLESS_ENCAP_HEADER."""
PROFILE_SHIFT = 3
"""GUTLESS_PROFILE_SHIFT: the number stands above the kernel's own flags."""
GRE = 47
"""IP protocol of what modes gre and eth send: Ethernet frames go in GRE too."""


@unique
class Inner(StrEnum):
    """What IP is inside; FOU must say one."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


PROTOCOL = {Inner.ANY: 0, Inner.IPV4: 4, Inner.IPV6: 41}
"""What each means to a link: the inner IP protocol, 0: any."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel, wanted or running."""

    name: str
    remote: Address
    local: Address | None = None
    """None: as the route says, packet by packet (IPv4 only)."""
    mode: str = "ip"
    """ip, gre or eth: gutctl.kinds."""
    link_kind: str = ""
    """The rtnetlink kind that was asked for, empty: the usual one."""
    key: int | None = None
    """GRE's key (RFC 2890), sent and demanded; None: none."""
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
    pmtudisc: bool = True
    """IPv4: the outer packet has DF set."""
    addresses: tuple[str, ...] = ()
    up: bool = True
    sources: frozenset[Network] = frozenset()
    """Prefixes the port allows for this tunnel's sake."""
    any_source: bool = False
    """The port lets everybody in for this tunnel's sake."""
    module: Module = Module.GUTLESS
    """The kernel module that encapsulates and receives."""
    opened: bool = False
    """Its port goes with the last tunnel, which the module itself does not remember."""
    options: tuple[Option, ...] = ()
    """Of each packet, padding apart."""
    rules: tuple[Rule, ...] = ()
    """By which packets take another profile."""
    gue: GueFields = NO_FIELDS
    """Fields of GUE 0: sent in each packet, and required by its port."""
    room: int = 0
    """Words of 4 octets that its link keeps for options, where they are more than it needs itself: for profiles
    that rules name."""
    segmented: bool = False
    """Large packets are segmented before they enter its link, as each gets another header."""
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
        """Whether there is a base header between UDP and what is inside."""
        if self.format is Format.GUTLESS:
            return self.mode != "ip" or self.csum.remote or self.check or bool(self.options or self.room)
        return self.format is Format.GUE

    @property
    def check(self) -> bool:
        """Whether each packet has a Check word."""
        return self.format is Format.GUTLESS and self.csum is Csum.NEUTRAL

    @property
    def by_packet(self) -> bool:
        """Whether each packet's header is another one, so that large packets have to be segmented before."""
        return self.check or differ(self.options)

    @property
    def words(self) -> int:
        """Words of 4 octets that its link keeps for options behind a base header."""
        if not self.header:
            return 0
        return max(self.csum.words + option_words(self.options) + self.gue.octets // 4, self.room)

    @property
    def protocol(self) -> int:
        """The inner IP protocol the link is restricted to, 0: none."""
        return PROTOCOL[self.inner]

    @property
    def payload(self) -> frozenset[int]:
        """The IP protocols that stand behind the tunnel header."""
        if self.mode != "ip":
            return frozenset({GRE})
        if self.protocol:
            return frozenset({self.protocol})
        return frozenset({4} if kind_of(self) == "ipip" else {4, 41})

    @property
    def fou_protocol(self) -> int:
        """The protocol of a FOU port that receives from such a peer."""
        return self.protocol if self.mode == "ip" else GRE

    @property
    def alias(self) -> Alias:
        """What the link's alias says."""
        return Alias(self.port, self.sources, self.any_source, self.mtu_fixed, self._alike, self.opened)

    @property
    def needs_local(self) -> bool:
        """Whether its link has to have an address of this host, even if none is given."""
        return self.family == 6 or (not self.backend.any_local and self.csum is not Csum.ZERO)

    @property
    def foreign(self) -> bool:
        """Perhaps of somebody else's making: of a module that others drive, too, and without a mark of ours."""
        return self.inferred and self.module is not Module.GUTLESS

    @property
    def backend(self) -> Backend:
        """What its module can do."""
        return backend(self.module)

    @property
    def _alike(self) -> bool:
        # the link of one that is not FOU, but would be taken for it
        return self.format is Format.GUTLESS and not self.header and self.inner is not Inner.ANY

    @property
    def accept(self) -> frozenset[Accept]:
        """The formats that the receiving port must accept for such a peer."""
        if self.format is Format.FOU:
            return frozenset({Accept.FOU})
        if self.format is Format.GUE:
            return frozenset({Accept.GUE0})
        if self.mode != "ip":
            return frozenset({Accept.GUTLESS})
        # packets whose checksum is there already go without a header
        if self.options or self.check:
            return frozenset({Accept.GUTLESS})
        return frozenset({Accept.BARE, Accept.GUTLESS} if self.header else {Accept.BARE})

    @property
    def overhead(self) -> int:
        """Octets that it adds to an inner IP packet."""
        from gutctl import encap

        return encap.overhead(self.format, self.family, kind_of(self), self.words, check=self.check, key=self.key is not None)

    def mtu_over(self, path_mtu: int) -> int:
        """The MTU it has over a path with this one, both in octets. An Ethernet header is not in it."""
        from gutctl import encap

        key = self.key is not None
        try:
            left = encap.tunnel_mtu(
                path_mtu, self.format, self.family, kind_of(self), self.words, check=self.check, key=key
            )
        except encap.EncapError as error:
            raise UsageError(f"{self.name}: {error}") from None
        return min(left, self.mtu_bounds()[1])

    def mtu_bounds(self) -> tuple[int, int]:
        """The least and the most octets its link can be set to."""
        from gutctl import encap

        kind = kind_of(self)
        # sit, and ip6tnl for IPv6 alone, will not go below the least MTU of IPv6, the others not below IPv4's
        least = 1280 if kind == "sit" or (kind, self.protocol) == ("ip6tnl", 41) else 68
        most = encap.max_inner(self.format, self.family, kind, self.words, check=self.check, key=self.key is not None)
        if self.family == 6 and not (kind == "ip6tnl" and self.protocol in (0, 41)):
            # these count the outer header too, as if it were IPv4's
            most = 65535 - self.overhead
        return least, most

    def wanted_profile(self) -> Profile | None:
        """The profile it needs, without its number; None where it needs none."""
        if not self.backend.profiles:
            return None
        ranged = not self.by_flow and not self.fixed_source_port
        if (
            not ranged
            and not self.csum.remote
            and not self.rules
            and not self.gue
            and not (self.header and self.format is Format.GUTLESS)
        ):
            return None
        # a fixed port stands in the link
        ports = self.source_ports if ranged else DEFAULT_SOURCE_PORTS
        return Profile(
            0, self.format, self.csum, ports, options=self.options, rules=self.rules, room=self.words, gue=self.gue
        )


def is_tunnel(link: Link, info: Info | None) -> bool:
    """Whether a module that we know encapsulates the link's packets; ``info`` is that module's."""
    module = module_of(link)
    if module is None or link.remote is None or link.kind not in KINDS:
        return False
    return link.encap_type in backend(module).types(info)


def kind_of(tunnel: Tunnel) -> str:
    """The rtnetlink kind that carries it. Raises UsageError where a kind was asked for that cannot."""
    if tunnel.link_kind:
        check_kind(tunnel.link_kind, tunnel.mode, tunnel.family, tunnel.protocol)
        return tunnel.link_kind
    return usual_kind(tunnel.mode, tunnel.family, tunnel.protocol)


def to_link(tunnel: Tunnel, info: Info | None = None) -> Link:
    """The link that is this tunnel; UsageError where its alias would be too long."""
    bare, header = tunnel.backend.types(info)
    return Link(
        name=tunnel.name,
        kind=kind_of(tunnel),
        local=tunnel.local,
        remote=tunnel.remote,
        encap_type=header if tunnel.header else bare,
        encap_flags=tunnel.profile << PROFILE_SHIFT | tunnel.backend.flags(tunnel),
        encap_sport=tunnel.fixed_source_port,
        encap_dport=tunnel.peer_port,
        protocol=tunnel.protocol,
        ttl=tunnel.ttl,
        tos=tunnel.tos,
        pmtudisc=tunnel.pmtudisc,
        ikey=tunnel.key,
        okey=tunnel.key,
        mtu=tunnel.mtu,
        gso_segments=ONE_BY_ONE if tunnel.segmented else ANY_SEGMENTS,
        alias=tunnel.alias.encode(),
    )


def from_link(link: Link, info: Info | None, profiles: Mapping[int, Profile], ports: Iterable[Port]) -> Tunnel | None:
    """The tunnel that a running link is; None where the link is not ours.

    ``profiles``, by number, and ``ports`` are those of the namespace the link sends from.
    """
    module = module_of(link)
    if not is_tunnel(link, info) or link.remote is None or module is None:
        return None
    does = backend(module)
    bare, _ = does.types(info)
    number = link.encap_flags >> PROFILE_SHIFT if does.profiles else 0
    profile = profiles.get(number) if number else None
    csum = does.csum(link)
    source_ports = DEFAULT_SOURCE_PORTS
    if profile is not None:
        csum, source_ports = profile.csum, profile.source_ports
    if link.encap_sport:
        source_ports = (link.encap_sport, link.encap_sport)
    alias = Alias.decode(link.alias)
    # of a missing one, the length of what it added is left
    room = number >> 8
    form = _format(link, link.encap_type == bare, profile, alias, does)
    inner = {4: Inner.IPV4, 41: Inner.IPV6}.get(link.protocol, Inner.ANY)
    mode = KINDS[link.kind].mode
    usual = usual_kind(mode, link.remote.version, link.protocol)
    tunnel = Tunnel(
        name=link.name,
        remote=link.remote,
        local=link.local,
        mode=mode,
        link_kind="" if link.kind == usual else link.kind,
        key=link.okey,
        format=form,
        inner=inner,
        peer_port=link.encap_dport,
        source_ports=source_ports,
        csum=csum,
        mtu=link.mtu,
        ttl=link.ttl,
        tos=link.tos,
        pmtudisc=link.pmtudisc,
        addresses=link.addresses,
        up=link.up,
        module=module,
        options=profile.options if profile is not None else (),
        rules=profile.rules if profile is not None else (),
        gue=profile.gue if profile is not None else NO_FIELDS,
        room=room if profile is None or room > profile.words else 0,
        segmented=link.single,
        profile=number,
        profile_missing=number != 0 and profile is None,
        kind=link.kind,
        link=link,
    )
    if alias is None:
        return _inferred(tunnel, Ports.of(ports), does)
    return replace(
        tunnel,
        port=alias.port,
        sources=alias.added,
        any_source=alias.any_source,
        mtu_fixed=alias.mtu_fixed,
        opened=alias.opened,
    )


def _format(link: Link, bare: bool, profile: Profile | None, alias: Alias | None, does: Backend) -> Format:
    """A profile knows it, if links of this encapsulation can send it; else it is what they send by themselves."""
    fitting = {Format.FOU, Format.GUTLESS} if bare else {Format.GUE, Format.GUTLESS}
    if bare and (KINDS[link.kind].gre or Format.GUTLESS not in does.formats):
        return Format.FOU
    if profile is not None and profile.format in fitting:
        return profile.format
    if not bare:
        return Format.GUE
    restricted = link.protocol in (4, 41)
    return Format.FOU if restricted and not (alias is not None and alias.bare) else Format.GUTLESS


def _inferred(tunnel: Tunnel, ports: Ports, does: Backend) -> Tunnel:
    """One without an alias of ours, so perhaps of somebody else's making."""
    if tunnel.link is None:
        raise AssertionError("a tunnel that is seen has a link")
    tunnel = replace(tunnel, inferred=True, port=_guess(tunnel.link, ports))
    if does.source_lists or tunnel.port is None:
        return tunnel
    # nothing but the port itself says whom it lets in, and a port that is not there is no part of it
    port = ports.receiver(tunnel.family, tunnel.port, tunnel.local, tunnel.remote)
    if port is None:
        return replace(tunnel, port=None)
    return replace(tunnel, any_source=port.any_source, sources=port.sources)


def _guess(link: Link, ports: Iterable[Port]) -> int:
    """A fixed source port that is a port of ours; else both ends use one number."""
    if link.encap_sport and link.remote is not None and Ports.of(ports).has(link.remote.version, link.encap_sport):
        return link.encap_sport
    return link.encap_dport
