# SPDX-License-Identifier: Apache-2.0
"""Allocations that fail: the n-th one of a thread (/proc/thread-self/fail-nth), or a part of all that may not wait.

Source: Documentation/fault-injection/fault-injection.rst of the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FAILSLAB = Path("/sys/kernel/debug/failslab")
MOST = 1 << 20


def quiet() -> None:
    """No stack traces of faults that are meant, and allocations that may wait can fail too."""
    for folder in (FAILSLAB, FAILSLAB.with_name("fail_page_alloc")):
        (folder / "verbose").write_text("0")
    (FAILSLAB / "ignore-gfp-wait").write_text("N")


def nth(number: int, function: Callable[[], T]) -> tuple[T | OSError, bool]:
    """Call `function` with the calling thread's `number`-th allocation failing: what it returned or raised, and whether one failed.

    The function had best be one system call: the thread's own needs count as well.
    """
    descriptor = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
    text = b"%d" % number
    result: T | OSError
    try:
        os.write(descriptor, text)
        try:
            result = function()
        except OSError as error:
            result = error
        finally:
            left = os.pread(descriptor, 16, 0)
            os.write(descriptor, b"0")
    finally:
        os.close(descriptor)
    return result, int(left) == 0


def count(function: Callable[[], object]) -> int:
    """How many allocations that could fail the calling thread makes in `function`."""
    descriptor = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
    try:
        os.write(descriptor, b"%d" % MOST)
        function()
        left = os.pread(descriptor, 16, 0)
        os.write(descriptor, b"0")
    finally:
        os.close(descriptor)
    return MOST - int(left)


@contextmanager
def of_packets(percent: int) -> Iterator[None]:
    """So many of a hundred allocations that may not wait fail, in whatever context: those of packets on their way."""
    settings = {"ignore-gfp-wait": "Y", "task-filter": "N", "interval": "1", "space": "0", "times": "-1", "probability": str(percent)}
    for name, value in settings.items():
        (FAILSLAB / name).write_text(value)
    try:
        yield
    finally:
        (FAILSLAB / "probability").write_text("0")
        (FAILSLAB / "ignore-gfp-wait").write_text("N")
