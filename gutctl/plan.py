# SPDX-License-Identifier: Apache-2.0
"""Plans: what is to be done, in order, and how each step is taken back.

The same plan stands behind doing, ``--check`` and ``--diff``, so they cannot
disagree.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum, unique
from types import FrameType

from gutctl.errors import ConflictError, GutctlError

__all__ = [
    "Difference",
    "Plan",
    "Step",
    "UndoError",
    "Verdict",
    "conflict",
    "execute",
]


@unique
class Verdict(StrEnum):
    """What a plan amounts to."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    ABSENT = "absent"


@dataclass(slots=True)
class Step:
    """One request to the kernel: it happens wholly or not at all."""

    text: str
    """What it does, for people, without a verb's ending: ``open port 6080/udp``."""
    do: Callable[[], None]
    undo: Callable[[], None] | None = None
    """None where an earlier step's undo takes this one back as well."""
    commands: tuple[str, ...] = ()
    """The same in words of ``ip``, or a comment where there is none."""


@dataclass(slots=True)
class Plan:
    """Steps, and what they amount to."""

    what: str
    """The thing: ``tunnel west``."""
    verdict: Verdict
    steps: list[Step] = field(default_factory=list)
    diff: list[str] = field(default_factory=list)
    """Lines that begin with ``+``, ``-`` or ``~``."""
    notes: list[str] = field(default_factory=list)
    """For the user's attention; no failure."""

    @property
    def pending(self) -> bool:
        """Whether executing it would change anything."""
        return bool(self.steps)


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that is not as asked for."""

    name: str
    now: str
    asked: str
    option: str | None
    """What to give to ``set`` to have it, None where ``set`` cannot."""

    def __str__(self) -> str:
        return f"{self.name} {self.now} (asked: {self.asked})"


class UndoError(GutctlError):
    """A step failed, and so did taking back what was done before it."""


def conflict(name: str, differences: Sequence[Difference], set_command: str, instead: str) -> ConflictError:
    """The refusal to make what is there already and is not the same.

    ``instead`` is the hint where ``set`` cannot make one of the differences go.
    """
    options = [difference.option for difference in differences]
    hint = instead
    if all(option is not None for option in options):
        hint = " ".join([set_command, *(option for option in options if option)])
    return ConflictError(f"{name} exists and differs: " + ", ".join(map(str, differences)), hint)


@contextmanager
def _interrupt_between_steps() -> Iterator[Callable[[], None]]:
    """Ctrl-C waits for the end of a step: an undo must know what was done."""
    caught: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    def check() -> None:
        if caught:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    old = [(number, signal.signal(number, remember)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield check
    finally:
        for number, handler in old:
            signal.signal(number, handler)


def execute(plan: Plan, trace: Callable[[Step], None] | None = None) -> None:
    """Take every step; on any failure take back those already taken, last first.

    Raises what the failing step raised, or :class:`UndoError` with the same
    exit status that names both where an undo failed too.
    """
    done: list[Step] = []
    with _interrupt_between_steps() as check:
        try:
            for step in plan.steps:
                check()
                if trace is not None:
                    trace(step)
                step.do()
                done.append(step)
            check()
        except BaseException as error:
            left = _undo(done)
            if not left:
                raise
            raise _both(error, left) from error


def _undo(done: Sequence[Step]) -> list[tuple[Step, Exception]]:
    """Take back; the failures, each with its step."""
    left = []
    for step in reversed(done):
        if step.undo is None:
            continue
        try:
            step.undo()
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are undone too
            left.append((step, error))
    return left


def _both(error: BaseException, left: Sequence[tuple[Step, Exception]]) -> UndoError:
    if isinstance(error, KeyboardInterrupt):
        first = "interrupted"
    else:
        first = str(error) or type(error).__name__
    rest = "; ".join(f"{step.text}: {problem}" for step, problem in left)
    both = UndoError(
        f"{first}; and this could not be taken back: {rest}",
        "what is left: gutctl tunnel list, gutctl port list, gutctl profile list",
    )
    if isinstance(error, GutctlError):
        both.status = error.status
    return both
