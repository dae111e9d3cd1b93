# SPDX-License-Identifier: Apache-2.0
"""The fuzzers, one after the other: see README.md in this folder."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cover
import guests
import inputs
import targets
from targets import Corpus, Differential, Finding, Run, Trouble

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gutctl"
PARTS = ("formats", "packets", "netlink")
SHORT_SECONDS, FULL_SECONDS = 20, 600


def say(text: str) -> None:
    print(f"fuzz: {text}", flush=True)


@dataclass
class Report:
    """What was done and what was found, for the end of the run."""

    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def done(self, text: str) -> None:
        self.lines.append(text)
        say(text)

    def failed(self, text: str) -> None:
        self.failures.append(text)
        print(f"fuzz: FAILED: {text}", file=sys.stderr, flush=True)


def keep(finding: Finding) -> str:
    """Put the input of a finding where it stays, and say how to go on."""
    if finding.data is None:
        return "no input is known"
    folder = CACHE / "fuzz-found" / finding.kind
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha1(finding.data).hexdigest()[:12]}.hex"
    first = finding.said.strip().splitlines()[0][:200] if finding.said.strip() else "no word"
    inputs.write(path, finding.data, f"found by the fuzzer {finding.kind}: {first}")
    return (
        f"the input: {path}\nagain: tests/fuzz/run --replay {path}\n"
        f"a test of it: put it into tests/fuzz/regressions/{finding.kind}/ under a name that tells what was wrong"
    )


def formats(report: Report, scratch: Path, seconds: int, seed: int) -> None:
    """libFuzzer on both targets at once, then wire.h against gutctl.encap, then the branches reached."""
    say(f"compiling the targets; then {seconds} s of each, seed {seed}")
    programs = {kind: targets.build(kind, scratch) for kind in inputs.KINDS}
    corpora = {kind: Corpus.prepare(kind, scratch, CACHE) for kind in inputs.KINDS}
    runs = {kind: Run.start(programs[kind], corpora[kind], seconds, seed) for kind in inputs.KINDS}
    try:
        for kind, run in runs.items():
            report.done(f"{kind}: {run.finish(seconds + 60):,} executions under the sanitizers, no finding")
    finally:
        for run in runs.values():
            run.stop()
    compared = targets.differential(programs["wire"], corpora["wire"], seconds, seed + 1)
    _verdicts(report, compared)
    for kind in inputs.KINDS:
        for reached in cover.measure(kind, corpora[kind].folder, scratch):
            report.done(f"coverage of {reached.text}")
            for line in reached.unreached:
                report.failed(f"a branch that no input reached: {line}")
        kept = corpora[kind].keep(programs[kind])
        say(f"{kind}: {kept} inputs kept for the next run")


RULES = (
    *("option-missing", "option-value", "option-refused"),
    *("auth-missing", "auth-key", "auth-tag", "auth-replay", "auth-time"),
)
"""Verdicts of a port's rules for options and of its keys, which are judged behind wire.h."""


def _verdicts(report: Report, compared: Differential) -> None:
    words = ", ".join(f"{name or 'passed'} {count:,}" for name, count in compared.verdicts.most_common())
    report.done(f"wire.h and encap.py: {compared.compared:,} inputs, same verdict and fields: {words}")
    never = set(targets.reasons().values()) - {"source", "nesting", "no-memory", "control-limit", *RULES} - set(compared.verdicts)
    if never or not compared.verdicts[""]:
        report.failed(f"verdicts that never came up: {', '.join(sorted(never)) or 'passed'}")


def replay(path: Path) -> int:
    """Both targets and the comparison on one input; each by its kind where the folder tells it."""
    data = inputs.read(path)
    kinds = [kind for kind in inputs.KINDS if path.resolve().parent.name == kind] or list(inputs.KINDS)
    trouble = 0
    with tempfile.TemporaryDirectory(prefix="gutctl-fuzz-") as folder:
        for kind in kinds:
            said = targets.replay(targets.build(kind, Path(folder)), data, Path(folder))
            if not said and kind == "wire":
                said = targets.compare_one(Path(folder) / kind, data)
            print(f"{kind}: {said or 'nothing wrong'}")
            trouble |= bool(said)
    return trouble


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/fuzz/run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="a million packets, a hundred thousand requests, ten minutes a target")
    parser.add_argument("--seconds", type=int, help=f"of each fuzzer on this machine (default {SHORT_SECONDS}; --full {FULL_SECONDS})")
    parser.add_argument("--seed", type=int, help="repeat a run (default: another one each time; 1 to 2^31-1)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of: {','.join(PARTS)}")
    parser.add_argument("--ways", default="", help="of packets some of: raw,vnet,udp,fragments,gro,tap,outer,icmp (default: all)")
    parser.add_argument("--vm", action="store_true", help="the distribution's kernel in place of the debug kernel")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="one input again, and nothing else")
    args = parser.parse_args()
    args.parts = args.only.split(",")
    if set(args.parts) - set(PARTS):
        parser.error(f"--only {args.only}: the parts are {', '.join(PARTS)}")
    args.seconds = args.seconds or (FULL_SECONDS if args.full else SHORT_SECONDS)
    args.seed = args.seed or int.from_bytes(os.urandom(3), "big") + 1
    return args


def guard(report: Report, part: str, function: Callable[[], None]) -> None:
    """Run a part; what it finds or where it breaks goes into the report."""
    started = time.monotonic()
    try:
        function()
    except Finding as finding:
        print(finding.said, file=sys.stderr)
        report.failed(f"{finding}\n{keep(finding)}")
    except Trouble as trouble:
        report.failed(f"{part}: {trouble}")
    say(f"{part}: {time.monotonic() - started:.0f} s")


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    args = arguments()
    CACHE.mkdir(parents=True, exist_ok=True)
    if args.replay:
        return replay(args.replay)
    report = Report()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gutctl-fuzz-") as folder:
        scratch = Path(folder)
        if "formats" in args.parts:
            guard(report, "formats", lambda: formats(report, scratch, args.seconds, args.seed))
        inside = [part for part in args.parts if part != "formats"]
        if inside:
            plan = guests.Plan(tuple(inside), args.full, args.seed, args.vm, tuple(filter(None, args.ways.split(","))))
            guard(report, "guest", lambda: guests.run(plan, scratch, report.done))
    took = time.monotonic() - started
    print("\n" + "\n".join(report.lines + [f"FAILED: {line}" for line in report.failures]))
    if report.failures:
        print(f"=== fuzz: {len(report.failures)} failed, seed {args.seed}, {took:.0f} s ===")
        return 1
    print(f"=== fuzz: passed, seed {args.seed}, {took:.0f} s ===")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Trouble, ValueError, OSError) as error:
        print(f"fuzz: {error}", file=sys.stderr)
        print("=== fuzz: could not run ===")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
