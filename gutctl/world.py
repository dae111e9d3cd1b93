# SPDX-License-Identifier: Apache-2.0
"""The namespaces of a machine, each with its door to the kernel, opened when needed.

A tunnel's device may stand in one namespace and send from another, so that
looking after its port and profile takes more than one door.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gutctl.backend import module_of
from gutctl.door import Door, Netns
from gutctl.errors import GutctlError, NotPermittedError, UnsupportedError
from gutctl.model import Info, Link, Module, Port, Profile
from gutctl.portlist import Ports
from gutctl.tunnel import Tunnel, from_link

__all__ = ["Seen", "State", "World"]


@dataclass(frozen=True)
class State:
    """What the module holds in one namespace; nothing of it where it is not loaded."""

    info: Info | None
    ports: Sequence[Port]
    profiles: Sequence[Profile]

    @cached_property
    def numbered(self) -> dict[int, Profile]:
        """The profiles by number."""
        return {profile.number: profile for profile in self.profiles}


@dataclass(frozen=True, slots=True)
class Seen:
    """A tunnel, the namespace it stands in, and the one it sends from."""

    tunnel: Tunnel
    stands: Netns
    sends: Netns
    reachable: bool = True
    """Whether the sending namespace has a door."""

    @property
    def moved(self) -> bool:
        """Whether those are two."""
        return not self.reachable or self.stands != self.sends


def _open_kernel(netns: Netns) -> Door:
    from gutctl.netlink import Kernel

    return Kernel(netns)


def _own() -> str:
    # of the calling thread, not of the process's first: threads may stand elsewhere
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


def _identity(netns: Netns) -> object:
    """Device and inode of a namespace: what two names of the same one share."""
    if netns is None:
        path = _own()
    elif isinstance(netns, int) or netns.isdigit():
        path = f"/proc/{netns}/ns/net"
    else:
        path = netns if "/" in netns else f"/run/netns/{netns}"
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _namespaces() -> Iterator[Netns]:
    """All that have a name, and all that a process is in (containers have no name)."""
    with suppress(OSError):
        yield from sorted(entry.name for entry in Path("/run/netns").iterdir())
    seen = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            target = os.readlink(entry / "ns/net")
            if target not in seen:
                seen.add(target)
                yield int(entry.name)


class World:
    """Doors by namespace; ``here`` is the one the command works in.

    A world knows the tunnels of every module, until it is told by ``using`` to have
    to do with one of them alone: then ports, profiles and tunnels are that one's.
    """

    def __init__(
        self,
        here: Netns = None,
        open_kernel: Callable[[Netns], Door] = _open_kernel,
        identity: Callable[[Netns], object] = _identity,
        namespaces: Callable[[], Iterable[Netns]] = _namespaces,
    ) -> None:
        self.here = here
        self._open = open_kernel
        self._identity = identity
        self._namespaces = namespaces
        self._doors: dict[Netns, Door] = {}
        self.module: Module | None = None

    def using(self, module: Module | None) -> World:
        """The same namespaces and doors, for one module; None: for all (ports and profiles then are gutless')."""
        if module is self.module:
            return self
        other = copy.copy(self)
        other.module = module
        return other

    def close(self) -> None:
        """Close every door."""
        while self._doors:
            self._doors.popitem()[1].close()

    def kernel(self, netns: Netns) -> Door:
        """The door of a namespace. Raises NotFoundError where there is none."""
        if netns not in self._doors:
            self._doors[netns] = self._open(netns)
        return self._doors[netns].using(self.module or Module.GUTLESS)

    @property
    def door(self) -> Door:
        """The door of the namespace the command works in."""
        return self.kernel(self.here)

    def same(self, one: Netns, other: Netns) -> bool:
        """Whether two words name the same namespace."""
        if one == other:
            return True
        try:
            return self._identity(one) == self._identity(other)
        except OSError:
            return False

    def spec(self, netns: Netns) -> str | int:
        """Words for a namespace that mean the same wherever they are said."""
        return _own() if netns is None else netns

    def state(self, netns: Netns, *, needed: bool = True) -> State:
        """Ports and profiles. ``needed``: raise where the module is not loaded."""
        kernel = self.kernel(netns)
        try:
            return State(kernel.info(), Ports(kernel.ports()), kernel.profiles())
        except UnsupportedError:
            if needed:
                raise
            return State(None, [], [])

    def sends_from(self, link: Link, stands: Netns) -> tuple[Netns, bool]:
        """The namespace a link sends from, and whether it can be reached."""
        if link.link_netnsid is None:
            return stands, True
        found = self.kernel(stands).netns_of(link.link_netnsid)
        if found is None:
            return None, False
        for known in (stands, self.here, *self._doors):
            if self.same(found, known):
                return known, True
        return found, True

    def standing(self, netns: Netns, name: str | None = None) -> list[Seen]:
        """Tunnels whose devices stand in a namespace, by name."""
        states: dict[tuple[Netns, Module], State] = {}
        nothing = State(None, [], [])
        homes: dict[int | None, tuple[Netns, bool]] = {}
        kernel = self.kernel(netns)
        if name is None:
            links = kernel.links()
        else:
            link = kernel.link(name)
            links = [] if link is None else [link]
        seen = []
        for link in links:
            module = module_of(link)
            if module is None or self.module not in (None, module):
                continue
            if link.link_netnsid not in homes:
                homes[link.link_netnsid] = self.sends_from(link, netns)
            sends, reachable = homes[link.link_netnsid]
            if reachable and (sends, module) not in states:
                states[sends, module] = self.using(module).state(sends, needed=False)
            state = states[sends, module] if reachable else nothing
            tunnel = from_link(link, state.info, state.numbered, state.ports)
            if tunnel is not None:
                seen.append(Seen(tunnel, netns, sends, reachable))
        return sorted(seen, key=lambda item: item.tunnel.name)

    def sending(self, netns: Netns) -> list[Seen]:
        """Tunnels that send from a namespace, wherever on this machine they stand."""
        tunnels = [item for item in self.standing(netns) if not item.moved]
        seen = [self._identity_or_none(netns)]
        for other in self._namespaces():
            identity = self._identity_or_none(other)
            if identity is None or identity in seen:
                continue
            seen.append(identity)
            try:
                tunnels += self._guests(other, netns)
            except (GutctlError, OSError) as error:
                if isinstance(error, NotPermittedError):
                    raise
                # gone since it was listed
        return tunnels

    def _guests(self, stands: Netns, sends: Netns) -> list[Seen]:
        known = stands in self._doors
        try:
            links = [link for link in self.kernel(stands).links() if link.link_netnsid is not None]
            if not links:
                return []
            return [
                item for item in self.standing(stands) if item.reachable and item.moved and self.same(item.sends, sends)
            ]
        finally:
            if not known and stands in self._doors:
                self._doors.pop(stands).close()

    def _identity_or_none(self, netns: Netns) -> object:
        try:
            return self._identity(netns)
        except OSError:
            return None
