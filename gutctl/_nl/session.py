# SPDX-License-Identifier: Apache-2.0
"""The sockets of one Kernel, opened when first used, all in its one thread."""

from __future__ import annotations

import os
import socket
from typing import Final

from gutctl.errors import GutctlError

from . import netns
from .events import EventStream
from .family import FAMILY
from .gutless import Gutless
from .route import Route
from .sockets import Door

__all__ = ["Session"]

_NETLINK_GENERIC: Final = 16


class Session:
    """What the thread of a Kernel works with. Everything here is called in that thread."""

    def __init__(self) -> None:
        self._gutless: Gutless | None = None
        self._route: Route | None = None

    @property
    def gutless(self) -> Gutless:
        """The family's door; opened anew after a failure."""
        if self._gutless is None:
            self._gutless = Gutless(lambda: Door(_NETLINK_GENERIC), FAMILY)
        return self._gutless

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

    def events(self) -> EventStream:
        """A stream with a socket of its own, which any thread may read."""
        listener = Gutless(lambda: Door(_NETLINK_GENERIC), FAMILY)
        try:
            listener.subscribe()
            return EventStream(listener.plain_socket(), listener.events_in)
        finally:
            listener.close()

    def close(self) -> None:
        if self._gutless is not None:
            self._gutless.close()
        if self._route is not None:
            self._route.close()
