# SPDX-License-Identifier: Apache-2.0
"""A mutant: a patch that puts a bug back, with a head that names the bug and the tests that must notice it.

    # bug: one sentence
    # origin: where such a bug was seen, or "own"
    # test: tests/kernel/test_x.py::test_y          (one or more lines; tests/pure runs on the host)
    --- a/kmod/rx.c
    +++ b/kmod/rx.c
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


class BadMutant(Exception):
    """The patch cannot be used; the text says what is wrong and where."""


@dataclass(frozen=True)
class Mutant:
    """One patch and what its head says."""

    name: str
    patch: Path
    bug: str
    origin: str
    tests: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def pure(self) -> tuple[str, ...]:
        return tuple(test for test in self.tests if not test.startswith("tests/kernel/"))

    @property
    def kernel(self) -> tuple[str, ...]:
        return tuple(test for test in self.tests if test.startswith("tests/kernel/"))

    @property
    def module(self) -> bool:
        """Whether the kernel module has to be built anew."""
        return any(name.startswith("kmod/") for name in self.files)

    def apply(self, tree: Path, *, reverse: bool = False) -> None:
        """Change the files under `tree`. Raises BadMutant where the patch does not fit exactly."""
        command = ["patch", "--batch", "-p1", "-F0", "--no-backup-if-mismatch", "-r", "-", "-i", str(self.patch)]
        command.append("-R" if reverse else "-N")
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BadMutant(f"{self.patch.name} does not apply; renew it:\n{done.stdout}{done.stderr}")


def read(patch: Path, root: Path) -> Mutant:
    """Parse a patch. Raises BadMutant on a missing head line, an unknown test file, or an empty patch."""
    text = patch.read_text()
    head = text.split("\n--- ", 1)[0]
    fields: dict[str, list[str]] = {"bug": [], "origin": [], "test": []}
    for word, value in re.findall(r"^# (bug|origin|test): *(.+)$", head, re.MULTILINE):
        fields[word].append(value.strip())
    for word, values in fields.items():
        if not values:
            raise BadMutant(f"{patch.name} has no line '# {word}: ...'")
    for test in fields["test"]:
        if not (root / test.split("::")[0]).is_file():
            raise BadMutant(f"{patch.name} names {test}, and there is no such file")
    files = tuple(re.findall(r"^\+\+\+ b/(\S+)", text, re.MULTILINE))
    if not files:
        raise BadMutant(f"{patch.name} changes no file (lines '+++ b/PATH' are missing)")
    return Mutant(patch.stem, patch, " ".join(fields["bug"]), " ".join(fields["origin"]), tuple(fields["test"]), files)


@dataclass(frozen=True)
class Outcome:
    """What a run of tests with one mutant came to: `passed`, `failed` (and by what), or `broken` (no verdict)."""

    verdict: str
    detail: str
    seconds: float = 0.0


def judge(status: int, report: Path, seconds: float) -> Outcome:
    """Read pytest's exit status and its JUnit file.

    Failed are a test's assertions, and the kernel's complaints, which show when a test is taken down. A test that
    could not be set up or collected is no verdict.
    """
    if status == 124:
        return Outcome("failed", "did not end in time", seconds)
    if status not in (0, 1) or not report.exists():
        return Outcome("broken", f"pytest's exit status {status}", seconds)
    failed: list[str] = []
    errors: list[str] = []
    count = 0
    for case in ElementTree.parse(report).iter("testcase"):
        count += 1
        for kind in ("failure", "error"):
            for found in case.iter(kind):
                complained = "the kernel complained" in (found.get("message") or "") + (found.text or "")
                (failed if kind == "failure" or complained else errors).append(case.get("name") or "?")
    if failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return Outcome("failed", failed[0] + more, seconds)
    if errors:
        return Outcome("broken", f"could not be set up: {errors[0]}", seconds)
    if status or not count:
        return Outcome("broken", f"{count} tests ran, exit status {status}", seconds)
    return Outcome("passed", f"{count} tests", seconds)
