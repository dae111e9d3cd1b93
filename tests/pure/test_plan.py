# SPDX-License-Identifier: Apache-2.0
"""Plans: in order, undone in reverse, both failures told."""

from __future__ import annotations

import os
import signal

import pytest

from gutctl.errors import ConflictError, ExitStatus, InUseError
from gutctl.plan import Difference, Plan, Step, UndoError, Verdict, conflict, execute


def plan(log: list[str], *names: str, fails: str = "", undo_fails: str = "") -> Plan:
    """Steps that write into a log what they do."""

    def step(name: str) -> Step:
        def do() -> None:
            log.append(name)
            if name == fails:
                raise InUseError(f"{name} refused")

        def undo() -> None:
            log.append(f"undo {name}")
            if name == undo_fails:
                raise ConflictError(f"{name} stays")

        return Step(name, do, undo)

    return Plan("thing", Verdict.ADDED, [step(name) for name in names])


def test_in_order() -> None:
    log: list[str] = []
    execute(plan(log, "a", "b", "c"))
    assert log == ["a", "b", "c"]


def test_undone_in_reverse_without_the_one_that_failed() -> None:
    log: list[str] = []
    with pytest.raises(InUseError, match="^c refused$"):
        execute(plan(log, "a", "b", "c", "d", fails="c"))
    assert log == ["a", "b", "c", "undo b", "undo a"]


def test_both_failures_are_told_and_the_rest_is_undone() -> None:
    log: list[str] = []
    with pytest.raises(UndoError, match="c refused; and this could not be taken back: b: b stays") as told:
        execute(plan(log, "a", "b", "c", fails="c", undo_fails="b"))
    assert log[-1] == "undo a"
    assert told.value.status is ExitStatus.IN_USE
    assert told.value.hint is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_step(number: signal.Signals) -> None:
    log: list[str] = []
    before = signal.getsignal(number)
    made = plan(log, "a", "b")

    def interrupted() -> None:
        os.kill(os.getpid(), number)
        log.append("whole")

    made.steps.insert(1, Step("interrupted", interrupted, lambda: log.append("undo interrupted")))
    with pytest.raises(KeyboardInterrupt):
        execute(made)
    assert log == ["a", "whole", "undo interrupted", "undo a"]
    assert signal.getsignal(number) is before


def test_a_signal_in_the_last_step_undoes_all() -> None:
    log: list[str] = []
    made = plan(log, "a")
    made.steps.append(Step("last", lambda: os.kill(os.getpid(), signal.SIGINT), lambda: log.append("undo last")))
    with pytest.raises(KeyboardInterrupt):
        execute(made)
    assert log == ["a", "undo last", "undo a"]


def test_conflict_hint_only_where_set_can() -> None:
    can = Difference("csum", "full", "zero", "--csum zero")
    cannot = Difference("inner", "ipv4", "ipv6", None)
    assert conflict("west", [can], "set west", "del").hint == "set west --csum zero"
    both = conflict("west", [can, cannot], "set west", "del")
    assert both.hint == "del"
    assert both.message == "west exists and differs: csum full (asked: zero), inner ipv4 (asked: ipv6)"
