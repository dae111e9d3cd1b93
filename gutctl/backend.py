# SPDX-License-Identifier: Apache-2.0
"""What a kernel module can do, and how a tunnel is said to it.

The one place that knows in what the modules differ; planners ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gutctl.checks import host_network
from gutctl.errors import UnsupportedError, UsageError
from gutctl.model import ALL_INNER, DEFAULT_INNER, Accept, Csum, Format, Info, Link, Module, Port

if TYPE_CHECKING:
    from gutctl.tunnel import Tunnel

__all__ = ["BACKENDS", "Backend", "backend", "module_of"]

FLAG_CSUM = 1
"""TUNNEL_ENCAP_FLAG_CSUM: the outer UDP checksum over IPv4."""
FLAG_CSUM6 = 2
"""TUNNEL_ENCAP_FLAG_CSUM6: over IPv6."""
FLAG_REMCSUM = 4
"""TUNNEL_ENCAP_FLAG_REMCSUM: of the in-tree module only."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One module."""

    module: Module
    bare: int
    """Encapsulation type (struct ip_tunnel_encap) of nothing but UDP."""
    header: int
    """Of UDP and a base header."""
    formats: tuple[Format, ...]
    """What it sends; the first unless told otherwise."""
    csums: tuple[Csum, ...]
    accept: frozenset[Accept]
    """What a port that is not FOU's accepts unless told otherwise."""
    inner: frozenset[int]
    """Inner protocols of such a port, unless told otherwise."""
    source_lists: bool
    """A port has a list of prefixes that may send to it, and can be changed while it runs. Else it
    lets in everybody, or is connected to one address and port."""
    any_local: bool
    """Over IPv4 a link may leave its address to the route, packet by packet. The in-tree module
    computes the UDP checksum before it knows the route, with the address 0: a wrong one."""
    profiles: bool
    """There are profiles: ranges of source ports, and what they may say more."""
    counters: bool
    """Ports count packets and drops, and remember who made them."""

    def types(self, info: Info | None) -> tuple[int, int]:
        """Encapsulation types, bare and header, as the running module says where it does."""
        return (info.encap_bare, info.encap_header) if info else (self.bare, self.header)

    def check(self, tunnel: Tunnel) -> None:
        """Raise UsageError for what this module cannot do, whatever the state of the system."""
        if self.source_lists:
            return
        name = f"the in-tree module {self.module}"
        if tunnel.format not in self.formats:
            raise UsageError(
                f"{name} does not send format {tunnel.format}",
                f"--format {' or '.join(self.formats)}, or the module gutless: leave out --module",
            )
        if tunnel.csum not in self.csums:
            raise UsageError(f"{name} does not send csum {tunnel.csum}", f"--csum {', '.join(self.csums)}")
        if not tunnel.by_flow and not tunnel.fixed_source_port:
            low, high = tunnel.source_ports
            raise UsageError(
                f"--sport {low}-{high}: {name} takes no range of source ports",
                "--sport auto (by flow, from the system's range) or one port",
            )
        self._check_senders(tunnel)

    def _check_senders(self, tunnel: Tunnel) -> None:
        """Who may send: everybody, or one address from one port."""
        if tunnel.port is None or tunnel.any_source:
            return
        name = f"the in-tree module {self.module}"
        if tunnel.sources - {host_network(tunnel.remote)}:
            raise UsageError(
                f"--from: a port of {name} lets in everybody, or the one peer from one source port",
                "--any-source, or no --from and --sport PORT",
            )
        if not tunnel.fixed_source_port:
            raise UsageError(
                f"port {tunnel.port} of {name} would let everybody in: it cannot tell senders apart"
                " unless their port is fixed, too",
                f"--any-source; or --sport {tunnel.port} here and --sport {tunnel.peer_port} at the peer,"
                f" so that only {tunnel.remote} from port {tunnel.peer_port} is let in",
            )

    def check_port(self, port: Port) -> None:
        """Raise UsageError for a port that this module cannot hold."""
        name = f"port {port.key.port}/udp"
        if self.source_lists:
            if port.from_port:
                raise UsageError(
                    f"{name}: --from-port is of the module fou; the module {self.module} tells senders by address",
                    "leave it out: a peer's source port varies with the flow",
                )
            return
        here = f"a port of the in-tree module {self.module}"
        if port.gue:
            raise UsageError(f"{name}: {here} knows no fields of GUE, and drops what has some", "leave --module out")
        if not port.any_source:
            hosts = [prefix for prefix in port.sources if prefix.prefixlen == prefix.max_prefixlen]
            if len(port.sources) != 1 or not hosts or not port.from_port:
                raise UsageError(
                    f"{name}: {here} lets in everybody, or one address with one source port",
                    "--any-source, or --from ADDR with --from-port PORT",
                )
        elif port.from_port:
            raise UsageError(f"{name}: --from-port with --any-source: who may send, everybody or one?")
        if Accept.FOU in port.accept:
            if port.inner != {port.fou_protocol} or len(port.accept) > 1:
                raise UsageError(f"{name}: a FOU port's protocol, {port.fou_protocol}, is its inner one")
        elif port.accept != self.accept or port.fou_protocol is not None:
            raise UsageError(
                f"{name}: {here} accepts GUE of both variants, or FOU of one protocol",
                "--accept gue0,bare or --accept fou:PROTO",
            )
        elif port.inner != self.inner:
            raise UsageError(
                f"{name}: {here} takes every inner protocol of GUE, it cannot be restricted",
                "a FOU port takes one: --accept fou:PROTO",
            )
        if port.key.family == 6 and not port.zero_csum6:
            raise UsageError(f"{name}: {here} accepts IPv6 packets without a checksum, and cannot refuse them", "--zero-csum6")

    def notes(self, tunnel: Tunnel) -> list[str]:
        """What the user should know of a tunnel that is made as asked."""
        if self.source_lists or tunnel.port is None or tunnel.any_source:
            return []
        text = f"port {tunnel.port} takes packets from {tunnel.remote} port {tunnel.peer_port} alone"
        text += f": the peer has to send from there (--sport {tunnel.peer_port})"
        if tunnel.fixed_source_port != tunnel.port:
            text += f"; a peer that is restricted so, too, would expect us to send from {tunnel.port}"
        return [text]

    def require(self, tunnel: Tunnel, info: Info) -> None:
        """Raise UnsupportedError where the running module lacks what this tunnel needs."""
        if self.source_lists:
            return
        if tunnel.family == 6 and "ipv6" not in info.features:
            raise UnsupportedError("the kernel module fou6, for tunnels over IPv6, is not loaded", "modprobe fou6")

    def flags(self, tunnel: Tunnel) -> int:
        """The kernel's own three bits of ``Link.encap_flags``."""
        udp = FLAG_CSUM if tunnel.family == 4 else FLAG_CSUM6
        if tunnel.csum is Csum.ZERO:
            return 0
        return udp | (FLAG_REMCSUM if tunnel.csum.remote and not self.profiles else 0)

    def csum(self, link: Link) -> Csum:
        """The checksum that these bits ask for."""
        if link.encap_flags & FLAG_REMCSUM and not self.profiles:
            return Csum.REMOTE
        udp = FLAG_CSUM if link.remote is None or link.remote.version == 4 else FLAG_CSUM6
        return Csum.FULL if link.encap_flags & udp else Csum.ZERO


BACKENDS: Mapping[Module, Backend] = {
    one.module: one
    for one in (
        Backend(
            Module.GUTLESS, 4, 5,
            formats=(Format.GUTLESS, Format.GUE, Format.FOU),
            csums=tuple(Csum),
            accept=frozenset({Accept.GUE0, Accept.BARE, Accept.GUTLESS}),
            inner=DEFAULT_INNER,
            source_lists=True, any_local=True, profiles=True, counters=True,
        ),
        Backend(
            Module.FOU, 1, 2,
            formats=(Format.GUE, Format.FOU),
            csums=(Csum.FULL, Csum.ZERO, Csum.REMOTE),
            accept=frozenset({Accept.GUE0, Accept.BARE}),
            inner=ALL_INNER,
            source_lists=False, any_local=False, profiles=False, counters=False,
        ),
    )
}  # fmt: skip


def backend(module: Module) -> Backend:
    """What that module can do."""
    return BACKENDS[module]


def module_of(link: Link) -> Module | None:
    """The module that encapsulates for a link, None: none of these (1 and 2 are fou's; 3 is MPLS)."""
    if link.encap_type in (BACKENDS[Module.FOU].bare, BACKENDS[Module.FOU].header):
        return Module.FOU
    return Module.GUTLESS if link.encap_type > 3 else None
