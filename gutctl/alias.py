# SPDX-License-Identifier: Apache-2.0
"""What a tunnel link cannot hold itself, kept in its alias (IFLA_IFALIAS).

The alias survives renaming and moving the device. It names the receiving port
and the prefixes that are on that port because of this tunnel::

    gutless port=6080 added=198.51.100.7,10.0.0.0/8
    gutless port=6080 any opened

``opened``: of the in-tree module's ports nothing but this tells that a tunnel
made them, so that they go with their last tunnel.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from gutctl.errors import UsageError
from gutctl.model import Network

__all__ = ["Alias"]

ALIAS_MAX = 255
"""Octets the kernel takes (IFALIASZ - 1)."""


@dataclass(frozen=True, slots=True)
class Alias:
    """One tunnel's share in a receiving port."""

    port: int | None
    """None: it sends only."""
    added: frozenset[Network] = frozenset()
    """Prefixes that are allowed for its sake, perhaps for other tunnels' as well."""
    any_source: bool = False
    """The port lets everybody in for its sake."""
    mtu_fixed: bool = False
    """The MTU was given, so it does not follow the route."""
    bare: bool = False
    """Format gutless, though the link carries one IP version only, as one of format fou does."""
    opened: bool = False
    """A tunnel made the port, this one or one before it: said where the module does not remember."""

    def encode(self) -> str:
        """The alias; UsageError where it is longer than the kernel takes."""
        words = ["gutless"]
        if self.port is not None:
            words.append(f"port={self.port}")
        if self.any_source:
            words.append("any")
        if self.mtu_fixed:
            words.append("mtu")
        if self.bare:
            words.append("bare")
        if self.opened:
            words.append("opened")
        if self.added:
            words.append("added=" + ",".join(map(_short, _ordered(self.added))))
        text = " ".join(words)
        if len(text) > ALIAS_MAX:
            raise UsageError(
                f"{len(self.added)} prefixes are more than a link's alias can hold ({len(text)} of {ALIAS_MAX} octets)",
                f"gutctl port add {self.port} --from ... for the port, then tunnel add without them",
            )
        return text

    @classmethod
    def decode(cls, text: str) -> Alias | None:
        """What an alias says; None where it is nobody's or somebody else's."""
        words = text.split()
        if not words or words[0] != "gutless":
            return None
        port = None
        added: frozenset[Network] = frozenset()
        for word in words[1:]:
            key, _, value = word.partition("=")
            try:
                if key == "port":
                    port = int(value)
                    if not 1 <= port <= 65535:
                        return None
                elif key == "added":
                    added = frozenset(ip_network(item) for item in value.split(","))
            except ValueError:
                return None
        return cls(port, added, "any" in words, "mtu" in words, "bare" in words, "opened" in words)


def _ordered(networks: frozenset[Network]) -> list[Network]:
    return sorted(networks, key=lambda n: (n.version, int(n.network_address), n.prefixlen))


def _short(network: Network) -> str:
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)
