# SPDX-License-Identifier: Apache-2.0
"""What runs inside a guest: reads /results/plan.json, fuzzes ports and netlink, writes /results/report.json."""

from __future__ import annotations

import json
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kernel"), str(HERE.parents[1])]

import kernel_log
import modules
from kernel_log import KernelLog
from net import Net

RESULTS = Path("/results")


class Complaint(AssertionError):
    """The kernel has complained."""


def say(text: str) -> None:
    print(f"guest: {text}", flush=True)


def watch(log: KernelLog, when: str) -> None:
    """Raises Complaint where the kernel's log has a line that it should not have."""
    lines = log.new()
    trouble = next((at for at, line in enumerate(lines) if kernel_log.BAD.search(line)), None)
    if trouble is not None:
        first = lines[trouble]
        raise Complaint(f"{when}: {first}\n" + "\n".join(lines[max(0, trouble - 3) : trouble + 90]))


def packets(plan: dict[str, Any], log: KernelLog, report: dict[str, Any]) -> None:
    """Every way of traffic.py, with the log looked at after each."""
    import traffic

    net = Net()
    try:
        # not every folder of the host can be executed from
        program = shutil.copy(RESULTS / "packets", "/run/packets")
        bench = traffic.Bench(net, Path(program), RESULTS / "corpus")
        for at, (way, how) in enumerate(traffic.WAYS.items()):
            if plan["ways"] and way not in plan["ways"]:
                continue
            seed = plan["seed"] * 16 + at
            kernel_log.write(f"fuzz: {way}, seed {seed}")
            tally = bench.run(way, seed, int(plan["packets"] * how.share))
            watch(log, f"{way}, seed {seed}")
            say(f"{way}: {tally.sent:,} packets in {tally.seconds:.1f} s")
            report["ways"][way] = {"sent": tally.sent, "seconds": tally.seconds, "counted": dict(tally.counted)}
        bench.close()
    finally:
        net.close()
    watch(log, "after the packets")


def netlink(plan: dict[str, Any], log: KernelLog, report: dict[str, Any]) -> None:
    """Requests made from the specification."""
    import asking

    net = Net()
    try:
        host = net.host("n")
        report["netlink"] = host.call(asking.run, plan["seed"], plan["messages"])
    finally:
        net.close()
    say(f"netlink: {plan['messages']:,} messages")
    watch(log, f"netlink, seed {plan['seed']}")


def main() -> int:
    plan = json.loads((RESULTS / "plan.json").read_text())
    report: dict[str, Any] = {"ways": {}, "failure": ""}
    log = KernelLog()
    try:
        modules.load_needed()
        modules.load_needed("tun")
        modules.load()
        for part in plan["parts"]:
            {"packets": packets, "netlink": netlink}[part](plan, log, report)
        modules.unload()
        watch(log, "when the module went")
    except Exception as error:  # noqa: BLE001 - all of it is for the report
        report["failure"] = f"{type(error).__name__}: {error}"
        if not isinstance(error, AssertionError):
            report["failure"] += "\n" + traceback.format_exc()
        trouble = log.new()
        report["failure"] += "\n" + "\n".join(trouble[-60:])
    (RESULTS / "report.json").write_text(json.dumps(report))
    return 1 if report["failure"] else 0


if __name__ == "__main__":
    sys.exit(main())
