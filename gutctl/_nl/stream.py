# SPDX-License-Identifier: Apache-2.0
"""Messages of a multicast group, as an iterator that waits for them."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, TypeVar

from gutctl.errors import GutctlError

__all__ = ["Stream"]

T = TypeVar("T")

_ROOM: Final = 1 << 17
"""Octets for one datagram, which is one message: a port with hundreds of rules and sources is the longest."""


class Stream(Iterator[T]):
    """What a multicast group brings since the moment this object was made, in order.

    An iterator that blocks until there is something; an asynchronous iterator too,
    which does not. It ends when it is closed, from whichever thread. The socket
    keeps the network namespace in which it was opened.

    Args:
        what: is read, for errors.
        parse: what a datagram holds.
        lost: what stands for messages that there was no room for.
    """

    def __init__(
        self, what: str, sock: socket.socket, parse: Callable[[bytes], Iterable[T]], lost: Callable[[], Iterable[T]]
    ) -> None:
        self._what = what
        self._sock = sock
        self._parse = parse
        self._lost = lost
        self._ready: deque[T] = deque()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._closed = False
        self._lock = threading.Lock()
        self._readers = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the stream; who waits wakes up. Idempotent."""
        with self._lock:
            self._closed = True
            if self._readers == 0:
                self._release()
            elif self._wake_write >= 0:
                os.write(self._wake_write, b"x")

    @property
    def closed(self) -> bool:
        """Nothing comes any more."""
        return self._closed

    def __del__(self) -> None:
        self._release()

    def _release(self) -> None:
        read, write = self._wake_read, self._wake_write
        if read < 0:
            return
        # first of all: should a close fail, the numbers are somebody else's the next time
        self._wake_read = self._wake_write = -1
        self._sock.close()
        os.close(read)
        os.close(write)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        # descriptors are closed by who reads them last, so that no number is reused under a reader
        with self._lock:
            self._readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if self._closed and self._readers == 0:
                    self._release()

    def _receive(self) -> None:
        try:
            data, sender = self._sock.recvfrom(_ROOM)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self._ready.extend(self._lost())
                return
            failed = GutctlError(f"{self._what}: {error.strerror}")
            failed.errno = error.errno
            raise failed from None
        if not sender[0]:  # from the kernel, and not from a process
            self._ready.extend(self._parse(data))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        found = self.read()
        if found is None:
            raise StopIteration
        return found

    def read(self, seconds: float | None = None) -> T | None:
        """What comes next; None where nothing did for so many seconds, or the stream is closed."""
        end = None if seconds is None else time.monotonic() + seconds
        with self._reading():
            try:
                while not self._ready:
                    left = None if end is None else max(0.0, end - time.monotonic())
                    if self._closed or not self._wait(left) or self._closed:
                        return None
                    self._receive()
            except KeyboardInterrupt:
                self._closed = True
                return None
            return self._ready.popleft()

    def _wait(self, seconds: float | None) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        return bool(poll.poll(None if seconds is None else math.ceil(seconds * 1000)))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        with self._reading():
            while not self._ready:
                if self._closed:
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
