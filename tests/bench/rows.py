# SPDX-License-Identifier: Apache-2.0
"""What was counted: rows, how they are kept in a file, and how they compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import guest
from cases import Case
from plan import Measurement, script


@dataclass(frozen=True)
class Row:
    """One tunnel on one path with one size; ``instructions`` is the median per packet (TCP: per 1000 octets)."""

    path: str
    case: str
    module: str
    outer: int
    inner: int
    csum: str
    octets: int
    instructions: int
    against: str = ""
    ports: int = 1

    @property
    def key(self) -> str:
        return self.key_of(self.case)

    def key_of(self, case: str) -> str:
        """The key of the row that another case has under the same circumstances."""
        ports = f"/{self.ports} ports" if self.ports > 1 else ""
        return f"{self.path}/{case}/v{self.outer}/{self.csum}/{self.octets}{ports}"


@dataclass
class Results:
    """All rows of one run, and on what they were counted."""

    kernel: str
    emulator: str
    rows: dict[str, Row] = field(default_factory=dict)
    control: dict[str, Any] = field(default_factory=dict)
    """The control plane's times, where they were taken."""
    complaints: list[str] = field(default_factory=list)
    """What the guests said of measurements that gave no number; not kept."""

    def ratio(self, row: Row) -> float | None:
        """To the row it is measured by; None where there is none in this run."""
        other = self.rows.get(row.key_of(row.against)) if row.against else None
        return row.instructions / other.instructions if other else None

    def save(self, path: Path) -> None:
        """Write to a file that two equal runs make equal: nothing of time or place in it."""
        head = {"kernel": self.kernel, "emulator": self.emulator}
        lines = [json.dumps(asdict(row)) for row in self.rows.values()]
        control = json.dumps(self.control, indent=1)
        text = json.dumps(head)[:-1] + ',\n"control": ' + control + ',\n"rows": [\n' + ",\n".join(lines) + "\n]}\n"
        path.write_text(text)

    def merge(self, other: Results) -> None:
        """Add what another guest counted; a row that was there stays as it is."""
        self.complaints += other.complaints
        self.rows |= {key: row for key, row in other.rows.items() if key not in self.rows}

    def sort(self, plan: Iterable[Measurement]) -> None:
        """Put the rows in the order in which ``plan`` measures them."""
        keys = (_row(what, octets, 0).key for what in plan for octets in what.sizes)
        self.rows = {key: self.rows[key] for key in [*keys, *self.rows] if key in self.rows}

    @classmethod
    def load(cls, path: Path) -> Results:
        """Raises BenchError where the file is missing or no such thing."""
        try:
            told = json.loads(path.read_text())
            rows = [Row(**row) for row in told["rows"]]
            return cls(told["kernel"], told["emulator"], {row.key: row for row in rows}, told["control"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise guest.BenchError(f"{path}: {error}; tests/bench/run makes it anew (accepted.json: with --accept)") from error


def _row(what: Measurement, octets: int, instructions: int) -> Row:
    case: Case = what.case
    return Row(
        what.path, case.name, case.module, case.outer, case.inner, case.csum, octets,
        instructions, case.against, case.ports,
    )  # fmt: skip


def measure(
    parts: guest.Parts, wanted: Iterable[Measurement], progress: Callable[[Row], None], seconds: float
) -> Results:
    """Boot one guest that takes all measurements; what gave no number is among the complaints.

    Raises BenchError where the guest did not come to its end.
    """
    plan = list(wanted)
    results = Results(parts.release, guest.emulator())
    complaints = results.complaints

    def said(line: str) -> None:
        words = line.split()
        if words[:1] == ["row"] and len(words) > 3 and all(word.isdigit() for word in words[1:]):
            row = _row(plan[int(words[1])], int(words[2]), int(words[3]))
            results.rows[row.key] = row
            progress(row)
        elif words[:1] == ["failed"]:
            complaints.append(f"  (which was about {plan[int(words[1])].path} {plan[int(words[1])].case.key})")
        elif line and words[0] not in ("row", "end"):
            complaints.append(f"  {line}")

    guest.run(parts, script(plan), seconds, said)
    missing = sum(len(what.sizes) for what in plan) - len(results.rows)
    if missing:
        complaints.insert(0, f"{missing} measurements gave no number; the guest said:")
    return results
