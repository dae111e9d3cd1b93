# SPDX-License-Identifier: Apache-2.0
"""The kernel's kinds of tunnel links: what is inside, what family they send, which one is usual.

=========== ==== ===== =======================================================
kind        mode outer usual for
=========== ==== ===== =======================================================
sit         ip   IPv4  any inner IP (``mode any``), or IPv6 alone
ipip        ip   IPv4  IPv4 alone; with inner ``any`` MPLS too, if a port takes it
ip6tnl      ip   IPv6  any inner IP, or one alone
gre         gre  IPv4  what GRE can say the type of
ip6gre      gre  IPv6  the same
gretap      eth  IPv4  Ethernet frames, behind a GRE header
ip6gretap   eth  IPv6  the same
=========== ==== ===== =======================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gutctl.errors import UsageError

__all__ = ["KINDS", "MODES", "LinkKind", "check_kind", "usual_kind"]

MODES: Final = ("ip", "gre", "eth")
"""What can be inside: IP packets, whatever GRE carries, Ethernet frames."""

IPV4, IPV6 = 4, 41


@dataclass(frozen=True, slots=True)
class LinkKind:
    """One of the kernel's kinds."""

    name: str
    mode: str
    family: int
    """Of the outer packets: 4 or 6."""
    inner: frozenset[int] = frozenset()
    """Protocols it can be restricted to, 0: to none. Empty: it has no such setting."""

    @property
    def gre(self) -> bool:
        """Whether it sends a GRE header, which can have a key."""
        return self.mode != "ip"

    @property
    def ethernet(self) -> bool:
        """Whether it is an Ethernet device."""
        return self.mode == "eth"


KINDS: Final[Mapping[str, LinkKind]] = {
    kind.name: kind
    for kind in (
        LinkKind("ipip", "ip", 4, frozenset({0, IPV4})),
        LinkKind("sit", "ip", 4, frozenset({0, IPV4, IPV6})),
        LinkKind("gre", "gre", 4),
        LinkKind("gretap", "eth", 4),
        LinkKind("ip6tnl", "ip", 6, frozenset({0, IPV4, IPV6})),
        LinkKind("ip6gre", "gre", 6),
        LinkKind("ip6gretap", "eth", 6),
    )
}

_USUAL: Final = {("ip", 4): "sit", ("gre", 4): "gre", ("eth", 4): "gretap",
                 ("ip", 6): "ip6tnl", ("gre", 6): "ip6gre", ("eth", 6): "ip6gretap"}  # fmt: skip


def usual_kind(mode: str, family: int, protocol: int) -> str:
    """The kind that we take for a mode, an outer family and an inner protocol (0: any).

    Raises:
        UsageError: there is no such mode.
    """
    if mode not in MODES:
        raise UsageError(f"--mode {mode}: one of {', '.join(MODES)}")
    if (mode, family, protocol) == ("ip", 4, IPV4):
        return "ipip"
    return _USUAL[mode, family]


def check_kind(name: str, mode: str, family: int, protocol: int) -> None:
    """Whether a kind does what is asked of it.

    Raises:
        UsageError: no such kind, or one that carries or sends something else.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise UsageError(f"--link-kind {name}: one of {', '.join(KINDS)}")
    if kind.mode != mode:
        raise UsageError(
            f"--link-kind {name} is a link of mode {kind.mode}, and mode {mode} is asked for",
            f"--mode {kind.mode}, or --link-kind {usual_kind(mode, family, protocol)}",
        )
    if kind.family != family:
        raise UsageError(
            f"--link-kind {name} sends IPv{kind.family} packets, and --remote is an IPv{family} address",
            f"--link-kind {usual_kind(mode, family, protocol)}",
        )
    if kind.inner and protocol not in kind.inner:
        raise UsageError(
            f"--link-kind {name} carries no IPv6",
            f"--inner ipv4, or --link-kind {usual_kind(mode, family, protocol)}",
        )
