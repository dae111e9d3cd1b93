# SPDX-License-Identifier: Apache-2.0
"""The part of the fuzzing that happens in a guest, seen from this machine."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import inputs
import seeds
from targets import INCLUDE, ROOT, Finding, Trouble

NO_RESULT = 125
PACKETS = {False: 30_000, True: 1_000_000}
MESSAGES = {False: 5_000, True: 100_000}
TIMEOUT = {False: 600, True: 3600}


@dataclass(frozen=True)
class Plan:
    """What to do."""

    parts: tuple[str, ...]
    full: bool
    seed: int
    vm: bool
    """The distribution's kernel, not the debug kernel."""
    ways: tuple[str, ...] = ()
    """Of sending packets; none: all."""


def corpus() -> bytes:
    """The bursts for packets.c (see there): those that GRO merges, then the others, then regressions."""
    merging = list(seeds.bursts())
    rest = list(seeds.payloads())
    for path in inputs.kept("wire"):
        data = inputs.read(path)
        if len(data) > 2:
            rest.append(seeds.Burst((data[2:],), inputs.setting(data[0], data[1]).fou))
    return struct.pack("!HH", len(merging), len(merging) + len(rest)) + b"".join(_bursts([*merging, *rest]))


def _bursts(bursts: Iterable[seeds.Burst]) -> Iterable[bytes]:
    for burst in bursts:
        yield bytes((burst.fou or 0, len(burst.payloads)))
        for payload in burst.payloads:
            yield struct.pack("!H", len(payload)) + payload


def run(plan: Plan, scratch: Path, done: Callable[[str], None]) -> None:
    """Boot, fuzz, and tell what was done. Raises Finding or Trouble."""
    results = scratch / "results"
    results.mkdir()
    (results / "corpus").write_bytes(corpus())
    amounts = {"packets": PACKETS[plan.full], "messages": MESSAGES[plan.full]}
    (results / "plan.json").write_text(json.dumps({"parts": plan.parts, "ways": plan.ways, "seed": plan.seed, **amounts}))
    compiler = ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-sign-compare", "-o", str(results / "packets")]
    compiler += [f"-I{ROOT / name}" for name in INCLUDE]
    made = subprocess.run([*compiler, str(ROOT / "tests/fuzz/packets.c")], capture_output=True, text=True, check=False)
    if made.returncode:
        raise Trouble(f"packets.c does not compile:\n{made.stderr}")
    boot = [str(ROOT / ("tests/vm/boot" if plan.vm else "tests/uml/boot"))]
    boot += ["--timeout", str(TIMEOUT[plan.full]), "--results", str(results)]
    if plan.vm and subprocess.run([str(ROOT / "tests/ring"), "module"], check=False).returncode:
        raise Trouble("the module could not be built (see above)")
    status = _to_its_end([*boot, "--", "exec python3 tests/fuzz/guest.py"])
    path = results / "report.json"
    if not path.exists():
        raise Finding("guest", None, f"the guest gave no report, exit status {status}" + _console(results))
    report = json.loads(path.read_text())
    for way, tally in report["ways"].items():
        words = ", ".join(f"{name} {count:,}" for name, count in sorted(tally["counted"].items(), key=lambda item: -item[1]))
        done(f"packets, {way}: {tally['sent']:,} sent in {tally['seconds']:.0f} s: {words}")
    if "netlink" in report:
        done(f"netlink: {report['netlink']}")
    if report["failure"]:
        raise Finding("guest", None, report["failure"])
    if status:
        raise Finding("guest", None, f"exit status {status}" + _console(results))
    if "packets" in plan.parts:
        total = sum(tally["sent"] for tally in report["ways"].values())
        done(f"packets: {total:,} in all, each found in a counter where its outer headers were right, log clean")


def _to_its_end(command: list[str]) -> int:
    """Run a program and return its exit status. Told to end, it is told to end, and takes its guest with it."""
    program = subprocess.Popen(["nice", *command])
    try:
        return program.wait()
    except KeyboardInterrupt:
        program.terminate()
        program.wait()
        raise


def _console(results: Path) -> str:
    console = results / "console.log"
    lines = console.read_text(errors="replace").splitlines()[-60:] if console.exists() else []
    return "\n" + "\n".join(f"  | {line}" for line in lines)
