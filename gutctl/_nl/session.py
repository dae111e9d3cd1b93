# SPDX-License-Identifier: Apache-2.0
"""The sockets of one Kernel, opened when first used, all in its one thread."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import Final

from gutctl.errors import GutctlError, UnsupportedError
from gutctl.model import Module

from . import netns
from .control import ControlStream
from .delivered import OptionStream
from .events import EventStream
from .family import CONTROL_GROUP, FAMILY, OPTIONS
from .fou import Fou
from .gutless import Gutless
from .route import Route
from .sockets import Door

__all__ = ["Session"]

_NETLINK_GENERIC: Final = 16


class Session:
    """What the thread of a Kernel works with. Everything here is called in that thread."""

    def __init__(self) -> None:
        self._gutless: Gutless | None = None
        self._fou: Fou | None = None
        self._route: Route | None = None

    @property
    def gutless(self) -> Gutless:
        """The family's door; opened anew after a failure."""
        if self._gutless is None:
            self._gutless = Gutless(lambda: Door(_NETLINK_GENERIC), FAMILY)
        return self._gutless

    @property
    def fou(self) -> Fou:
        """The door of the in-tree module's family; opened anew after a failure."""
        if self._fou is None:
            self._fou = Fou(lambda: Door(_NETLINK_GENERIC))
        return self._fou

    def ports_of(self, module: Module) -> Gutless | Fou:
        """The family of a module, in which ports and profiles are spoken of."""
        return self.fou if module is Module.FOU else self.gutless

    @property
    def route(self) -> Route:
        """The door to links, addresses and routes."""
        if self._route is None:
            self._route = Route(Door(socket.NETLINK_ROUTE))
        return self._route

    def netns_of(self, nsid: int) -> str | None:
        """Name or path of the namespace which has that number here."""
        for name in netns.candidates():
            try:
                fd = netns.open_netns(name)
            except GutctlError:  # gone meanwhile, or not ours to see
                continue
            try:
                if self.route.nsid(fd) == nsid:
                    return name
            finally:
                os.close(fd)
        return None

    def events(self, module: Module) -> EventStream:
        """A stream with a socket of its own, which any thread may read.

        Raises:
            UnsupportedError: the in-tree module tells of nothing.
        """
        if module is not Module.GUTLESS:
            raise UnsupportedError(f"the in-tree module {module} tells of no changes")
        with closing(Gutless(lambda: Door(_NETLINK_GENERIC), FAMILY)) as listener:
            listener.subscribe()
            return EventStream(listener.plain_socket(), listener.events_in)

    def options(self, module: Module) -> OptionStream:
        """A stream of delivered options, likewise.

        Raises:
            UnsupportedError: the in-tree module knows no options, or the loaded one delivers none.
        """
        if module is not Module.GUTLESS:
            raise UnsupportedError(f"the in-tree module {module} knows no options")
        with closing(Gutless(lambda: Door(_NETLINK_GENERIC), FAMILY)) as listener:
            listener.subscribe(OPTIONS)
            return OptionStream(listener.plain_socket(), listener.options_in)

    def control(self, module: Module) -> ControlStream:
        """A stream of control messages, likewise.

        Raises:
            UnsupportedError: the in-tree module drops them, or the loaded one tells of none.
        """
        if module is not Module.GUTLESS:
            raise UnsupportedError(f"the in-tree module {module} drops control messages")
        with closing(Gutless(lambda: Door(_NETLINK_GENERIC), FAMILY)) as listener:
            listener.subscribe(CONTROL_GROUP)
            return ControlStream(listener.plain_socket(), listener.control_in)

    def close(self) -> None:
        if self._gutless is not None:
            self._gutless.close()
        if self._fou is not None:
            self._fou.close()
        if self._route is not None:
            self._route.close()
