# SPDX-License-Identifier: Apache-2.0
"""Events: what somebody changed in a namespace, as it happens."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gutctl.model import OnPath, Port, Profile

from .stream import Stream

__all__ = ["Event", "EventStream", "Lost"]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was added, changed or deleted.

    ``record`` is what it is now; of a deleted one, what it was. A port with
    more sources than an event has room for (256) comes without any.
    """

    kind: str
    """``port``, ``profile`` or ``device``."""
    action: str
    """``add``, ``set`` or ``del``. A device is not added: it is set, or gone."""
    time: datetime
    """When it was read, in UTC."""
    record: Port | Profile | OnPath


@dataclass(frozen=True, slots=True)
class Lost:
    """Events came faster than they were read, and some are lost.

    Who keeps a picture of the kernel's state asks for all of it again.
    """

    time: datetime = field(default_factory=_now)


Parse = Callable[[bytes], list[Event]]


class EventStream(Stream[Event | Lost]):
    """Events since the moment this object was made, in order; see :class:`Stream`."""

    def __init__(self, sock: socket.socket, parse: Parse) -> None:
        super().__init__("events", sock, parse, lambda: [Lost()])
