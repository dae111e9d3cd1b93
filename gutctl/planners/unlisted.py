# SPDX-License-Identifier: Apache-2.0
"""Receiving ports of a module that has no lists of senders: the in-tree fou.

Such a port lets in everybody, and tunnels can share it; or it is connected to one
address and one source port, and is one tunnel's. It cannot be changed while it
runs, only closed and opened anew, and does not remember who made it: the aliases of
its tunnels do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gutctl.backend import Backend
from gutctl.checks import host_network
from gutctl.door import Door
from gutctl.errors import ConflictError
from gutctl.model import Accept, Format, Origin, Port, PortKey
from gutctl.plan import Step
from gutctl.planners.sharing import (
    Share,
    find_port,
    must_fit,
    no_foreign_socket,
    no_overlap,
    open_port,
    port_command,
    users,
    who,
)
from gutctl.planners.words import port_name
from gutctl.tunnel import Tunnel

__all__ = ["acquire", "release"]


def new_port(tunnel: Tunnel, number: int, does: Backend) -> Port:
    """The port that a tunnel needs."""
    fou = tunnel.format is Format.FOU
    return Port(
        # the family is all that the module wants to know; a connected socket finds its own address
        key=PortKey(tunnel.family, number, None if tunnel.any_source else tunnel.local),
        accept=frozenset({Accept.FOU}) if fou else does.accept,
        fou_protocol=tunnel.fou_protocol if fou else None,
        inner=tunnel.payload if fou else does.inner,
        any_source=tunnel.any_source,
        sources=frozenset() if tunnel.any_source else frozenset({host_network(tunnel.remote)}),
        zero_csum6=tunnel.family == 6,
        origin=Origin.ADMIN,
        module=tunnel.module,
        from_port=0 if tunnel.any_source else tunnel.peer_port,
    )


def acquire(kernel: Door, ports: Iterable[Port], tunnel: Tunnel, others: Iterable[Tunnel]) -> Share:
    """Let the peer of ``tunnel`` in; see :func:`gutctl.planners.sharing.acquire`."""
    if tunnel.port is None:
        return Share(replace(tunnel, sources=frozenset(), any_source=False, opened=False))
    ports = list(ports)
    wanted = new_port(tunnel, tunnel.port, tunnel.backend)
    there = find_port(ports, tunnel)
    if there is None:
        no_overlap(ports, wanted.key)
        no_foreign_socket(kernel, wanted.key)
        share = Share(replace(tunnel, sources=wanted.sources, opened=True), [open_port(kernel, wanted)], port=wanted)
        share.diff.append(f"+ {port_name(wanted)}  from {who(wanted)}")
        return share
    must_fit(tunnel, there)
    if not there.any_source and (there.sources, there.from_port) != (wanted.sources, wanted.from_port):
        raise ConflictError(
            f"{port_name(there)} is there and is connected to {who(there)} (asked: {who(wanted)})",
            f"take another --port than {tunnel.port}: a connected port is one tunnel's",
        )
    mates = users(there, ports, others)
    opened = any(mate.opened for mate in mates)
    sources = frozenset() if there.any_source else wanted.sources
    return Share(replace(tunnel, sources=sources, any_source=tunnel.any_source, opened=opened), port=there)


def release(kernel: Door, ports: Iterable[Port], tunnel: Tunnel, others: Iterable[Tunnel]) -> Share:
    """Close the port if a tunnel opened it and no other tunnel has it."""
    share = Share(tunnel)
    ports = list(ports)
    port = find_port(ports, tunnel)
    if port is None or not tunnel.opened or users(port, ports, others):
        share.port = port
        return share
    share.steps.append(
        Step(
            f"close {port_name(port)}",
            lambda: kernel.port_del(port.key),
            lambda: kernel.port_add(port),
            port_command(port, "del"),
        )
    )
    share.diff.append(f"- {port_name(port)}")
    return share
