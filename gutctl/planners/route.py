# SPDX-License-Identifier: Apache-2.0
"""What the route to the peer says: MTU, source address; and who is in the way."""

from __future__ import annotations

from dataclasses import replace

from gutctl.door import Door
from gutctl.errors import ConflictError, NotFoundError, UsageError
from gutctl.kinds import KINDS
from gutctl.model import Link
from gutctl.tunnel import Tunnel, kind_of

__all__ = ["by_route", "check_mtu", "one_per_pair"]


def by_route(kernel: Door, tunnel: Tunnel) -> Tunnel:
    """Fill in the MTU, and the local address where it is needed, that were not given.

    A link that sends IPv6 without a local address would send from ``::``. Raises
    NotFoundError where there is no route to the peer.
    """
    if tunnel.mtu is not None and (tunnel.local is not None or not tunnel.needs_local):
        return tunnel
    try:
        path_mtu, device, source = kernel.route_mtu(tunnel.remote)
    except NotFoundError as error:
        missing = "--mtu" if tunnel.local or not tunnel.needs_local else "--mtu and --local"
        raise NotFoundError(error.message, error.hint or f"make a route, or give {missing}") from error
    if device == tunnel.name:
        raise UsageError(
            f"the route to {tunnel.remote} leads into {tunnel.name} itself",
            f"ip route get {tunnel.remote}",
        )
    if tunnel.local is None and tunnel.needs_local:
        tunnel = replace(tunnel, local=source)
    if tunnel.mtu is None:
        tunnel = replace(tunnel, mtu=tunnel.mtu_over(path_mtu))
    return tunnel


def check_mtu(tunnel: Tunnel) -> None:
    """Raise UsageError where the link cannot have this MTU."""
    least, most = tunnel.mtu_bounds()
    if tunnel.mtu is None or least <= tunnel.mtu <= most:
        return
    if tunnel.mtu > most:
        raise UsageError(f"mtu {tunnel.mtu} is more than {most}, which fits a UDP packet")
    hint = f"--mtu {least}, if the path may fragment the outer packets"
    if tunnel.mtu_fixed:
        hint = f"give {least} or more"
    raise UsageError(f"mtu {tunnel.mtu} is less than {least}, the least of a {kind_of(tunnel)} link", hint)


def one_per_pair(kernel: Door, tunnel: Tunnel, *, changing: bool = False) -> None:
    """Raise ConflictError where another link has the same ends: the kernel has one a kind and key."""
    kind = kind_of(tunnel)
    # while it changes an ip6gretap link, the kernel takes an ip6gre link with the same ends for it
    kinds = {kind, "ip6gre"} if changing and kind == "ip6gretap" else {kind}
    for link in kernel.links():
        if link.name != tunnel.name and link.kind in kinds and _ends(link) == (tunnel.local, tunnel.remote, tunnel.key, 0):
            gre = KINDS[kind].gre
            keyed = (" and no key" if tunnel.key is None else f" and key {tunnel.key}") if gre else ""
            raise ConflictError(
                f"{link.name} is a {link.kind} link with the same ends,"
                f" {tunnel.local or 'any'} and {tunnel.remote}{keyed};"
                " the kernel has one of a kind for a pair of addresses" + (" and a key" if gre else ""),
                f"give another --local{', --key' if gre else ''} or --remote, or delete {link.name}",
            )


def _ends(link: Link) -> tuple[object, ...]:
    return link.local, link.remote, link.ikey, link.device
