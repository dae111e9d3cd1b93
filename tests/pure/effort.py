# SPDX-License-Identifier: Apache-2.0
"""How much work a command is: lines of Python that it runs, requests that it sends.

Neither depends on how busy the machine is, so that growth can be asserted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from fake_kernel import Machine

from gutctl.door import Door, Netns
from gutctl.model import Module
from gutctl.world import World

HERE = __file__
NOT_OURS = ("fake_kernel.py", "fake_fou.py", "fake_links.py")


@dataclass(frozen=True)
class Effort:
    """What one call took."""

    lines: int
    """Of Python, a comprehension's once a turn, without those of the kernel in memory."""
    requests: Counter[str]
    """What the kernel was asked, by the name of the door's method."""


class _Counted:
    """A door that counts what it is asked."""

    def __init__(self, door: Door, requests: Counter[str]) -> None:
        self._door = door
        self._requests = requests

    def using(self, module: Module) -> Door:
        return _Counted(self._door.using(module), self._requests)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._door, name)

        def call(*args: Any, **options: Any) -> Any:
            self._requests[name] += 1
            return found(*args, **options)

        return call


class CountedMachine(Machine):
    """A machine in memory whose doors count."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def world(self, here: Netns = None) -> World:
        names = [name for name in self.spaces if name != "root"]
        return World(here, lambda netns: _Counted(self.kernel(netns), self.asked), self.identity, lambda: names)


def effort(machine: CountedMachine, call: Callable[[], object]) -> Effort:
    """Run it and count."""
    machine.asked.clear()
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename.endswith(NOT_OURS) or frame.f_code.co_filename == HERE:
            return None
        frame.f_trace_lines = True
        frame.f_trace_opcodes = False
        if event == "line":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return Effort(count, Counter(machine.asked))
