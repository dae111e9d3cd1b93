# SPDX-License-Identifier: Apache-2.0
"""Control messages as the kernel tells of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

from gutctl.model import ControlMessage

from .events import Lost
from .stream import Stream

__all__ = ["ControlStream"]


class ControlStream(Stream[ControlMessage | Lost]):
    """Control messages since the moment this object was made, in order; see :class:`Stream`."""

    def __init__(self, sock: socket.socket, parse: Callable[[bytes], Iterable[ControlMessage | Lost]]) -> None:
        super().__init__("control messages", sock, parse, lambda: [Lost()])
