# SPDX-License-Identifier: Apache-2.0
"""Tests of the kernel ring on some kernel, shared among several guests that run at once: guests.py [OPTIONS] FILE..."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

VM = Path(__file__).resolve().parent
ROOT = VM.parents[1]
PYTEST = "exec python3 -m pytest -p no:cacheprovider -p no:hypothesispytest --junitxml=/results/junit.xml"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "gutctl")


@dataclass(frozen=True)
class Outcome:
    """How the tests went."""

    passed: int
    failed: list[str]
    """Names of tests that failed or could not be set up."""
    silent: int
    """Guests that failed without naming a test: they did not boot, crashed, or ran out of time."""
    skipped: int = 0

    @property
    def good(self) -> bool:
        return self.passed > 0 and not self.failed and not self.silent

    def __str__(self) -> str:
        words = [f"{self.passed} passed"]
        words += [f"{len(self.failed)} failed"] if self.failed else []
        words += [f"{self.skipped} skipped"] if self.skipped else []
        words += [f"{self.silent} guests gave no result"] if self.silent else []
        return ", ".join(words)


def listed(file: Path) -> list[str]:
    """The tests of a list, `TEST  # REASON` a line. Raises ValueError where a line has no reason."""
    found = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, reason = (part.strip() for part in line.partition(" #"))
        if not reason:
            raise ValueError(f"{file.name}:{number}: a test and a reason are wanted: {line}")
        found.append(name)
    return found


def shares(tests: list[str], guests: int, seconds: Path) -> list[list[str]]:
    """The tests for each guest: those of a file stay together, and the guests should end at about the same time.

    `seconds`: a file that tells what the test files took when they ran last.
    """
    of_file: dict[str, list[str]] = {}
    for test in tests:
        of_file.setdefault(test.partition("::")[0], []).append(test)
    missing = [file for file in of_file if not (ROOT / file).is_file()]
    if missing:
        raise ValueError(f"there is no {missing[0]}")
    command = [str(VM / "shards"), "plan", str(guests), str(seconds), *of_file]
    planned = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [[test for file in line.split() for test in of_file[file]] for line in planned.splitlines() if line]


def judge(status: int, report: Path) -> Outcome:
    """What one guest's exit status and report say."""
    if not report.exists():
        return Outcome(0, [], 1)
    passed, skipped, failed = 0, 0, []
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '')}")
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return Outcome(passed, failed, int(status != 0 and not failed), skipped)


def run(
    tests: list[str],
    *,
    kernel: Path | None = None,
    module: Path | None = None,
    guests: int = 2,
    timeout: float = 2700,
    arguments: str = "",
    name: str = "kernel-ring",
) -> Outcome:
    """Run tests (files, or `FILE::TEST`) and tell how they went. What the first guest prints is seen as it comes, the others'
    when they are done. Without a kernel it is the distribution's, without a module the one in kmod/. `arguments` go to pytest; `timeout` is in seconds, of each guest; under `name` is noted what the test
    files took, for the next time.
    """
    seconds = CACHE / f"{name}-seconds.json"
    running: list[tuple[subprocess.Popen[bytes], Path]] = []
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="gutctl-ring-") as scratch:
        try:
            for number, share in enumerate(shares(tests, guests, seconds)):
                results = Path(scratch, str(number))
                results.mkdir()
                command = [str(VM / "boot")]
                command += ["--kernel", str(kernel)] if kernel else []
                command += ["--module", str(module)] if module else []
                command += ["--timeout", str(timeout), "--results", str(results), "--", f"{PYTEST} {arguments} {shlex.join(share)}"]
                output = None if number == 0 else (results / "output").open("wb")
                running.append((subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output), results))
            for guest, results in running:
                status = guest.wait()
                if (results / "output").exists():
                    sys.stdout.flush()
                    sys.stdout.buffer.write((results / "output").read_bytes())
                    sys.stdout.flush()
                outcomes.append(judge(status, results / "junit.xml"))
        finally:
            for guest, _ in running:
                if guest.poll() is None:
                    guest.send_signal(signal.SIGTERM)
                    guest.wait()
        reports = [str(results / "junit.xml") for _, results in running]
        if not any(one.silent for one in outcomes):
            subprocess.run([str(VM / "shards"), "learn", str(seconds), *reports], stdout=subprocess.DEVNULL, check=True)
        return Outcome(
            sum(one.passed for one in outcomes),
            [name for one in outcomes for name in one.failed],
            sum(one.silent for one in outcomes),
            sum(one.skipped for one in outcomes),
        )


def main() -> int:
    # told to end, as by Ctrl-C: the guests end with us
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="tests/vm/guests.py", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--kernel", type=Path, help="folder of another kernel (default: the distribution's)")
    parser.add_argument("--guests", type=int, default=2, help="default %(default)s")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    try:
        outcome = run(args.files, kernel=args.kernel, guests=args.guests)
    except KeyboardInterrupt:
        return 130
    print(f"=== {outcome} in {args.guests} guests ===")
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main())
