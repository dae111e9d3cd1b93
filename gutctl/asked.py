# SPDX-License-Identifier: Apache-2.0
"""Whom ``ping`` asks, and from which port: a tunnel's name or an address, made into both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from gutctl.checks import port_number, remote_address
from gutctl.door import Door
from gutctl.errors import ConflictError, NotFoundError, UnsupportedError, UsageError
from gutctl.model import DEFAULT_PORT, Accept, Address, Module, Port, PortKey
from gutctl.planners.sharing import find_port
from gutctl.planners.words import port_name
from gutctl.world import Seen, World

__all__ = ["Asked", "whom"]

_ADDRESS = re.compile(r"(?:\[(?P<six>[^]]+)\]|(?P<four>[0-9.]+))(?::(?P<port>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Asked:
    """A peer, and the port of ours that asks it."""

    kernel: Door
    """The door of the namespace the port is in."""
    port: PortKey
    peer: Address
    peer_port: int
    ifindex: int = 0
    """The device by which a link-local peer is reached, 0: as the route says."""
    tunnel: str | None = None


def whom(world: World, text: str, number: int | None = None) -> Asked:
    """The peer that ``text`` names, and our port: that of ``number``, or the one that fits.

    Raises:
        NotFoundError: no such tunnel, no such port, no port that fits.
        UsageError: several ports fit, or the address is none.
        ConflictError: the port does not let the peer in, or does not accept GUT-less.
    """
    found = _address(text)
    if found is None:
        return _of_tunnel(world, text, number)
    peer, peer_port, zone = found
    ports = [port for port in world.door.ports() if port.key.family == peer.version]
    port = _chosen(ports, peer, peer_port, number)
    return Asked(world.door, port.key, peer, peer_port, world.door.device(zone) if zone else 0)


def _address(text: str) -> tuple[Address, int, str] | None:
    """Address, port and device of ``ADDRESS[%DEV]``, ``A.B.C.D:PORT``, ``[ADDRESS]:PORT``; None: it is a name."""
    match = _ADDRESS.fullmatch(text)
    host, port = (match["six"] or match["four"], match["port"]) if match else (text, None)
    host, _, zone = host.partition("%")
    try:
        peer = ip_address(host)
    except ValueError:
        return None
    # of a link-local address the device has to be said
    if not (peer.is_link_local and zone):
        peer = remote_address(host)
    return peer, port_number(port) if port else DEFAULT_PORT, zone


def _of_tunnel(world: World, name: str, number: int | None) -> Asked:
    seen = _tunnel(world, name)
    tunnel = seen.tunnel
    if tunnel.module is not Module.GUTLESS:
        raise UnsupportedError(f"tunnel {name} is of the in-tree module {tunnel.module}, which drops control messages")
    if not seen.reachable:
        raise NotFoundError(f"tunnel {name} sends from a namespace that cannot be reached from here")
    kernel = world.kernel(seen.sends)
    ports = kernel.ports()
    own = find_port(ports, tunnel) if number is None and tunnel.port is not None else None
    if own is None:
        family = [port for port in ports if port.key.family == tunnel.family]
        own = _chosen(family, tunnel.remote, tunnel.peer_port, number or tunnel.port)
    _fit(own, tunnel.remote)
    return Asked(kernel, own.key, tunnel.remote, tunnel.peer_port, tunnel=name)


def _tunnel(world: World, name: str) -> Seen:
    for seen in world.standing(world.here, name):
        return seen
    raise NotFoundError(f"there is no tunnel {name}", "gutctl tunnel list; or give an address, such as 192.0.2.1:6080")


def _lets_in(port: Port, peer: Address) -> bool:
    return port.any_source or any(peer in network for network in port.sources)


def _fit(port: Port, peer: Address) -> None:
    if Accept.GUTLESS not in port.accept:
        raise ConflictError(
            f"{port_name(port)} does not accept GUT-less, in which replies come", "ask from another one: --port PORT"
        )
    if not _lets_in(port, peer):
        raise ConflictError(
            f"{port_name(port)} does not let {peer} in: no reply could come", f"gutctl port set {port.key.port} --add-from {peer}"
        )


def _chosen(ports: list[Port], peer: Address, peer_port: int, number: int | None) -> Port:
    """One of the ports of the family."""
    family = f"IPv{peer.version}"
    if number is not None:
        ports = [port for port in ports if port.key.port == number]
        if not ports:
            raise NotFoundError(f"there is no port {number}/udp over {family} to ask from", "gutctl port list")
        if len(ports) == 1:
            _fit(ports[0], peer)
    fit = [port for port in ports if Accept.GUTLESS in port.accept and _lets_in(port, peer)]
    same = [port for port in fit if port.key.port == peer_port]
    for choice in (same, fit):
        if len(choice) == 1:
            return choice[0]
    if not fit:
        raise NotFoundError(
            f"no port over {family} lets {peer} in: nothing to ask from", f"gutctl port add {peer_port} --from {peer}"
        )
    if number is not None:
        raise UsageError(f"several ports {number}/udp let {peer} in: one of an address cannot be told from another here")
    raise UsageError(
        f"ports {', '.join(str(port.key.port) for port in fit)} let {peer} in: which is to ask?", "--port PORT"
    )
