# SPDX-License-Identifier: Apache-2.0
"""One thread that does one thing after the other.

A thread can enter a network namespace alone, where a process cannot; and
pyroute2's sockets belong to the thread that opened them and refuse to work
inside a running asyncio loop. So everything of one Kernel happens in one thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from gutctl.errors import GutctlError

__all__ = ["Worker", "in_thread"]

T = TypeVar("T")
_Job = tuple["Future[Any]", Callable[[], Any]]


def _finish(future: Future[Any], fn: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(fn())
    except BaseException as error:  # noqa: BLE001  (the waiting thread raises it)
        future.set_exception(error)


def _loop(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        _finish(*job)
        # hold nothing while waiting for the next one
        del job


def in_thread(fn: Callable[[], T]) -> Future[T]:
    """Run ``fn`` in a fresh thread of its own."""
    future: Future[T] = Future()
    threading.Thread(target=_finish, args=(future, fn), name="gutctl-netns", daemon=True).start()
    return future


class Worker:
    """A thread with a queue. Jobs run in the order in which they came."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._pid = os.getpid()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=_loop, args=(self._jobs,), name="gutctl-netlink", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Queue a job.

        Raises:
            GutctlError: closed, or the process has forked since: threads do not
                survive a fork, and a job would wait for ever.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise GutctlError("this Kernel is closed")
            if self._pid != os.getpid():
                raise GutctlError("this Kernel was opened before a fork", "open one in the new process")
            self._jobs.put((future, fn))
        return future

    def run(self, fn: Callable[[], T]) -> T:
        """Do a job and wait for what it returns or raises."""
        return self.submit(fn).result()

    def stop(self, last: Callable[[], None] | None = None) -> None:
        """Let queued jobs finish, then ``last``, then end the thread; do not wait for it. Idempotent.

        For the garbage collector too, which may come in the midst of anything: who
        waited there could wait for a thread that waits for him.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if last is not None:
                self._jobs.put((Future(), last))
            self._jobs.put(None)

    def join(self) -> None:
        """Wait for the thread to end, unless this is it, or it stayed behind at a fork."""
        if self._pid == os.getpid() and threading.current_thread() is not self._thread:
            self._thread.join()
