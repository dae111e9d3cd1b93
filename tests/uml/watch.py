# SPDX-License-Identifier: Apache-2.0
"""What a debug kernel's log, and its state at the end, say of how it went."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kernel"))

import kernel_log

#: A module from outside the tree was loaded: the only mark a kernel may bear.
OUT_OF_TREE = 1 << 12
#: Run in the guest first: what was said before is the architecture's own (user-mode Linux, in its first process, walks a map
#: without the RCU read lock).
PROLOGUE = "echo debug: from here on >/dev/kmsg"
#: Run in the guest at its end: the marks, and whether lockdep still looks, which goes blind after its first report.
EPITAPH = "cat /proc/sys/kernel/tainted >/results/tainted; grep debug_locks: /proc/lockdep_stats >/results/lockdep"
#: Tests that write complaints into the log.
HARNESS = ("test_harness.py", "test_inner_generated.py")
#: Lines that are shown with a complaint, before and after.
BEFORE, AFTER = 3, 40


def _of_the_kernel(lines: list[str]) -> list[str]:
    """Without what the tests of the harness say in the kernel's name, to be heard. (A real complaint among it has left its
    mark, see trouble().)"""
    kept = []
    meant = False
    for line in lines:
        _, begins, test = line.partition("] test: tests/kernel/")
        if begins:
            meant = test.startswith(HARNESS)
        if not meant:
            kept.append(line)
    return kept


def complaints(console: Path) -> list[str]:
    """The bad lines of a kernel's log, each with what stands around it; nothing where all is well."""
    text = console.read_text(errors="replace")
    before, begun, after = text.partition("debug: from here on\n")
    lines = (after if begun else before).splitlines()
    # with what stands around, since a stretch in which allocations are made to fail is judged as a whole
    bad = set(kernel_log.bad(_of_the_kernel(lines)))
    shown: set[int] = set()
    for number, line in enumerate(lines):
        if line in bad:
            shown.update(range(max(0, number - BEFORE), min(len(lines), number + AFTER)))
    return [lines[number] for number in sorted(shown)]


def trouble(results: Path) -> list[str]:
    """Everything bad about a guest that has ended; nothing where all is well."""
    found = complaints(results / "console.log")
    for name, good in (("tainted", {"0", str(OUT_OF_TREE)}), ("lockdep", {"1"})):
        try:
            said = (results / name).read_text().split()[-1]
        except (OSError, IndexError):
            said = "unknown"
        if said not in good:
            found.append(f"{name} is {said} at the end, not {' or '.join(sorted(good))}")
    return found
