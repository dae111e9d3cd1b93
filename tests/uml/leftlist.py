# SPDX-License-Identifier: Apache-2.0
"""Lists of tests with reasons, in files of lines such as `tests/kernel/test_x.py::test_y[z]  # why`.

Without brackets a line is about all cases of a test, without `::` about all of a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A line of a list."""

    name: str
    reason: str

    def names(self, nodeid: str) -> bool:
        """Whether the entry is about a test."""
        return nodeid == self.name or nodeid.startswith((self.name + ":", self.name + "["))


def entries(file: Path) -> list[Entry]:
    """What a list says. Raises ValueError where a line has no reason, or names what an earlier one names."""
    found: list[Entry] = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, reason = (part.strip() for part in line.partition(" #"))
        if not reason:
            raise ValueError(f"{file}:{number}: no reason is given")
        if any(entry.name == name for entry in found):
            raise ValueError(f"{file}:{number}: {name} is there already")
        found.append(Entry(name, reason))
    return found
