# SPDX-License-Identifier: Apache-2.0
"""Which branches of the parser the corpus reaches, by clang's source coverage: each both ways, or the run fails."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets import ROOT, Trouble, build

PROFILE = ("-fsanitize=fuzzer", "-fprofile-instr-generate", "-fcoverage-mapping")
HEADERS = {"wire": ("kmod/wire.h", "kmod/wire_base.h", "kmod/wire_gue.h", "kmod/wire_control.h"), "csum": ("kmod/csum.h",)}
#: Branches that no input reaches: (file, text of the line, the way) -> why.
UNREACHABLE: dict[tuple[str, str, str], str] = {}


@dataclass(frozen=True)
class Branch:
    """A condition, and how often it was true and false."""

    file: str
    line: int
    column: int
    text: str
    taken: int
    passed: int

    @property
    def missing(self) -> list[str]:
        return [way for way, count in (("true", self.taken), ("false", self.passed)) if not count]


@dataclass
class Coverage:
    """Of one header."""

    file: str
    branches: list[Branch]
    lines: int
    lines_reached: int

    @property
    def unreached(self) -> list[str]:
        """Branches that were not taken one way or the other, and are not known to be so."""
        return [
            f"{one.file}:{one.line}: never {way}: {one.text}"
            for one in self.branches
            for way in one.missing
            if (one.file, one.text, way) not in UNREACHABLE
        ]

    @property
    def text(self) -> str:
        ways = 2 * len(self.branches)
        reached = ways - sum(len(one.missing) for one in self.branches)
        return f"{self.file}: {reached} of {ways} branches, {self.lines_reached} of {self.lines} lines"


def _run(*command: str, **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Trouble(f"{' '.join(command[:3])} ...: exit status {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def measure(kind: str, corpus: Path, scratch: Path) -> list[Coverage]:
    """Run a target, compiled with counters, over the corpus; of each header that it is about."""
    folder = scratch / f"coverage-{kind}"
    folder.mkdir()
    program = build(kind, folder, *PROFILE)
    raw, merged = folder / "raw", folder / "profile"
    environment = dict(os.environ, LLVM_PROFILE_FILE=str(raw))
    _run(str(program), "-runs=0", str(corpus), env=environment, cwd=folder)
    _run("llvm-profdata", "merge", "-o", str(merged), str(raw))
    headers = [ROOT / name for name in HEADERS[kind]]
    said = _run("llvm-cov", "export", f"-instr-profile={merged}", str(program), *map(str, headers))
    (found,) = json.loads(said)["data"]
    return [read(name, path.read_text().splitlines(), found) for name, path in zip(HEADERS[kind], headers, strict=True)]


def read(name: str, source: list[str], exported: dict[str, Any]) -> Coverage:
    """Make sense of llvm-cov's JSON about one file: a branch is line, column, end, true count, false count, ..."""
    one = next((entry for entry in exported["files"] if entry["filename"].endswith(name)), None)
    if one is None:
        raise Trouble(f"llvm-cov says nothing of {name}")
    merged: dict[tuple[int, int, int, int], list[int]] = {}
    for function in exported["functions"]:
        # an inlined function is counted where it stands; a branch of another file has another index
        names = function["filenames"]
        for branch in function.get("branches", ()):
            if not names[branch[6]].endswith(name):
                continue
            counts = merged.setdefault((branch[0], branch[1], branch[2], branch[3]), [0, 0])
            counts[0] += branch[4]
            counts[1] += branch[5]
    branches = [
        Branch(name, at[0], at[1], source[at[0] - 1].strip(), counts[0], counts[1]) for at, counts in sorted(merged.items())
    ]
    if not branches:
        raise Trouble(f"llvm-cov found no branch in {name}")
    lines = one["summary"]["lines"]
    return Coverage(name, branches, lines["count"], lines["covered"])
