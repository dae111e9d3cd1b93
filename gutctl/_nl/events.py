# SPDX-License-Identifier: Apache-2.0
"""Events: what somebody changed in a namespace, as it happens."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from gutctl.errors import GutctlError
from gutctl.model import OnPath, Port, Profile

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


class EventStream(Iterator[Event | Lost]):
    """Events since the moment this object was made, in order.

    An iterator that blocks until there is one; an asynchronous iterator too,
    which does not. It ends when it is closed, from whichever thread. The socket
    keeps the network namespace in which it was opened.
    """

    def __init__(self, sock: socket.socket, parse: Parse) -> None:
        self._sock = sock
        self._parse = parse
        self._ready: deque[Event | Lost] = deque()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the stream; who waits for an event wakes up. Idempotent."""
        self._closed = True
        with self._lock:
            if self._wake_write >= 0:
                os.write(self._wake_write, b"x")

    def __del__(self) -> None:
        self._release()

    def _release(self) -> None:
        # descriptors are closed by who reads them, so that no number is reused under a reader
        self._closed = True
        with self._lock:
            if self._wake_read < 0:
                return
            self._sock.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_read = self._wake_write = -1

    def _receive(self) -> None:
        try:
            data = self._sock.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self._ready.append(Lost())
                return
            failed = GutctlError(f"events: {error.strerror}")
            failed.errno = error.errno
            raise failed from None
        self._ready.extend(self._parse(data))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event | Lost:
        try:
            while not self._ready:
                if self._closed:
                    raise StopIteration
                poll = select.poll()
                poll.register(self._sock, select.POLLIN)
                poll.register(self._wake_read, select.POLLIN)
                poll.poll()
                if self._closed:
                    raise StopIteration
                self._receive()
        except (StopIteration, KeyboardInterrupt):
            self._release()
            raise StopIteration from None
        return self._ready.popleft()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event | Lost:
        while not self._ready:
            if self._closed:
                self._release()
                raise StopAsyncIteration
            await self._readable()
            if not self._closed:
                self._receive()
        return self._ready.popleft()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        fds = (self._sock.fileno(), self._wake_read)
        for fd in fds:
            loop.add_reader(fd, wake)
        try:
            await woken
        finally:
            for fd in fds:
                loop.remove_reader(fd)
