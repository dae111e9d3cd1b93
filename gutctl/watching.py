# SPDX-License-Identifier: Apache-2.0
"""Delivered options as typed objects, with the tunnel they came by: what is behind :func:`gutctl.ext_api.watch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gutctl._wire.error import EncapError
from gutctl._wire.options import option_value
from gutctl._wire.optiontype import Option, OptionValue
from gutctl.delivered import DeliveredOption, LostOptions
from gutctl.errors import NotFoundError
from gutctl.model import Address, PortKey

if TYPE_CHECKING:
    from gutctl.tunnel import Tunnel
    from gutctl.world import World

__all__ = ["Delivered", "Lost", "Watch", "Where"]

Where = str | int | PortKey | None
"""A tunnel's name, a port's number (IPv4 and IPv6), a port, or None: all of the namespace."""

_REFRESH = 10.0
_AGAIN = 1.0
"""Seconds after which the tunnels are looked at again; the second where a peer belongs to none of them."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """An option that came in, of a packet that passed its port."""

    tunnel: str | None
    """The tunnel whose remote end the peer is and which receives on the port; None: none, or more than one."""
    port: PortKey
    peer: Address
    """The outer packet's source."""
    peer_port: int
    time_ns: int
    """CLOCK_REALTIME when the packet came, nanoseconds since 1970."""
    packets: int
    """That it stands for; more than one where packets with the same options were merged."""
    type: int
    value: OptionValue | bytes
    """Octets where nobody declared the type, or the data does not fit the declaration."""

    @property
    def time(self) -> datetime:
        """When the packet came, UTC."""
        return datetime.fromtimestamp(self.time_ns / 1e9, UTC)


@dataclass(frozen=True, slots=True)
class Lost:
    """So many options were lost before the next one, of whatever type and port: they came faster than they were read."""

    count: int


class _Tunnels:
    """Which tunnel a peer and a port belong to: of those whose devices stand in the namespace."""

    def __init__(self, read: Callable[[], Collection[Tunnel]]) -> None:
        self._read = read
        self._found: dict[tuple[int, int, Address], str | None] = {}
        self._at = float("-inf")

    def of(self, key: PortKey, peer: Address) -> str | None:
        what = (key.family, key.port, peer)
        age = time.monotonic() - self._at
        if age > _REFRESH or (what not in self._found and age > _AGAIN):
            self._look()
        return self._found.get(what)

    def _look(self) -> None:
        self._found = {}
        for tunnel in self._read():
            if tunnel.port is not None:
                what = (tunnel.family, tunnel.port, tunnel.remote)
                # of two with the same ends nobody can tell whose it was
                self._found[what] = None if what in self._found else tunnel.name
        self._at = time.monotonic()


class Watch(Iterator[Delivered | Lost]):
    """Options that are delivered from the moment it is opened: by ``with``, ``async with``, or the first read.

    Iterating blocks, ``async for`` does not. It ends when it is closed, or after ``timeout`` seconds without
    anything. A loss is told before the option that came after it.
    """

    def __init__(
        self,
        open_world: Callable[[], World],
        where: Where = None,
        types: Collection[int] = (),
        timeout: float | None = None,
        ready: Callable[[], None] | None = None,
    ) -> None:
        self._open_world = open_world
        self._where = where
        self._types = frozenset(types)
        self._timeout = timeout
        self._say_ready = ready
        self._world: World | None = None
        self._stream: Any = None
        self._only: Tunnel | None = None
        self._closed = False

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        import asyncio  # not for those who only name options: it is slow to load

        await asyncio.to_thread(self.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    def open(self) -> None:
        """Begin to listen. Idempotent.

        Raises:
            NotFoundError: there is no such tunnel, or it receives nothing.
            NotPermittedError: the caller lacks CAP_NET_ADMIN.
            UnsupportedError: the module is not loaded, or delivers no options.
        """
        if self._stream is not None or self._closed:
            return
        world = self._world = self._open_world()
        try:
            netns = world.here
            if isinstance(self._where, str):
                seen = next((one for one in world.standing(world.here, self._where)), None)
                if seen is None:
                    raise NotFoundError(f"there is no tunnel {self._where}", "gutctl tunnel list")
                if seen.tunnel.port is None or not seen.reachable:
                    raise NotFoundError(f"tunnel {self._where} has no port here that it receives on")
                self._only, netns = seen.tunnel, seen.sends
            self._tunnels = _Tunnels(lambda: [one.tunnel for one in world.standing(world.here) if not one.moved])
            self._stream = world.kernel(netns).options(ready=self._say_ready)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it; who waits wakes up. Idempotent."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()
        if self._world is not None:
            self._world.close()
            self._world = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delivered | Lost:
        found = self.read(self._timeout)
        if found is None:
            raise StopIteration
        return found

    def read(self, seconds: float | None = None) -> Delivered | Lost | None:
        """What comes next; None where nothing did for so many seconds (None: however long), or it is closed."""
        self.open()
        end = None if seconds is None else time.monotonic() + seconds
        while self._stream is not None:
            one = self._stream.read(None if end is None else max(0.0, end - time.monotonic()))
            if one is None:
                return None
            if self._wanted(one):
                return self._made(one)
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivered | Lost:
        import asyncio

        await asyncio.to_thread(self.open)
        if self._stream is None:
            raise StopAsyncIteration
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                async for one in self._stream:
                    if self._wanted(one):
                        return await asyncio.to_thread(self._made, one)
        raise StopAsyncIteration

    def _wanted(self, one: DeliveredOption | LostOptions) -> bool:
        if isinstance(one, LostOptions):
            return True
        return (not self._types or one.type in self._types) and self._from_there(one)

    def _from_there(self, one: DeliveredOption) -> bool:
        if self._only is not None:
            return (one.port.family, one.port.port, one.source) == (self._only.family, self._only.port, self._only.remote)
        if isinstance(self._where, PortKey):
            return one.port == self._where
        return self._where is None or one.port.port == self._where

    def _made(self, one: DeliveredOption | LostOptions) -> Delivered | Lost:
        if isinstance(one, LostOptions):
            return Lost(one.count)
        tunnel = self._only.name if self._only else self._tunnels.of(one.port, one.source)
        return Delivered(tunnel, one.port, one.source, one.source_port, one.time_ns, one.packets, one.type, _value(one))


def _value(one: DeliveredOption) -> OptionValue | bytes:
    try:
        return option_value(Option(one.type, one.data)) or one.data
    except EncapError:
        return one.data
