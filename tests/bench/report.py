# SPDX-License-Identifier: Apache-2.0
"""docs/benchmarks.md and its plots, made from the rows: what stands between the marks is written anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import bars
import guest
from plot import Bar, plot
from rows import Results, Row

DOCS = guest.BENCH.parents[1] / "docs"
PAGE = DOCS / "benchmarks.md"
PLOTS = DOCS / "benchmarks"
CSUM = {"on": "on", "off": "off", "remote": "on, inner left", "-": "none there"}


def _cell(row: Row | None) -> str:
    return f"{row.instructions:,}" if row else ""


def _beside(results: Results, row: Row | None) -> str:
    ratio = results.ratio(row) if row else None
    return bars.percent(ratio) if ratio else ""


def packets(results: Results, paths: str, outer: int) -> str:
    """The table of one path and one outer family: a line for each tunnel, a column for each size."""
    mine = [row for row in results.rows.values() if row.path == paths and row.outer == outer and row.ports == 1]
    sizes = sorted({row.octets for row in mine})
    lines = [
        "| tunnel | outer checksum | " + " | ".join(f"{size}" for size in sizes) + " | beside | " + " | ".join(map(str, sizes)) + " |",
        "|---|---|" + "---:|" * len(sizes) + "---|" + "---:|" * len(sizes),
    ]  # fmt: skip
    for case, csum in dict.fromkeys((row.case, row.csum) for row in mine):
        found = [results.rows.get(f"{paths}/{case}/v{outer}/{csum}/{size}") for size in sizes]
        against = next((row.against for row in found if row), "")
        lines.append(
            f"| {case} | {CSUM[csum]} | " + " | ".join(map(_cell, found)) + f" | {against} | "
            + " | ".join(_beside(results, row) for row in found) + " |"
        )  # fmt: skip
    return "\n".join(lines)


def bulk(results: Results) -> str:
    """TCP: instructions per octet, and what segmentation and merging save."""
    rows = [row for row in results.rows.values() if row.path == "tcp"]
    lines = ["| tunnel | outer checksum | GSO and GRO | without | beside | with | without |", "|---|---|---:|---:|---|---:|---:|"]
    for row in rows:
        other = results.rows.get(row.key.replace("tcp/", "tcp plain/", 1))
        lines.append(
            f"| {row.case} | {CSUM[row.csum]} | {row.instructions / 1000:.2f} | "
            f"{f'{other.instructions / 1000:.2f}' if other else ''} | {row.against} | {_beside(results, row)} | {_beside(results, other)} |"
        )
    return "\n".join(lines)


def ports(results: Results) -> str:
    """What a packet costs beside many open ports."""
    counts = sorted({row.ports for row in results.rows.values()})
    rows = {(row.case, row.ports): row for row in results.rows.values() if row.path == "local" and row.octets == 64
            and row.csum == "on" and row.outer == 4}  # fmt: skip
    lines = ["| tunnel | " + " | ".join(f"{n:,}" for n in counts) + " |", "|---|" + "---:|" * len(counts)]
    for case in dict.fromkeys(case for case, n in rows if n > 1):
        lines.append(f"| {case} | " + " | ".join(_cell(rows.get((case, n))) for n in counts) + " |")
    return "\n".join(lines)


def verdicts(results: Results) -> str:
    """How the bars were met."""
    lines = ["| bar | limit | worst row | reached | |", "|---|---:|---|---:|---|"]
    for one in bars.verdicts(results):
        state = "met" if one.met else "missed"
        lines.append(f"| {one.bar.name} | {bars.percent(one.bar.limit)} | {one.row} | {bars.percent(one.worst)} | {state} |")
    return "\n".join(lines)


def machine(results: Results) -> str:
    """On what the rows were counted."""
    return f"Kernel {results.kernel}, QEMU {results.emulator}."


def control(results: Results) -> str:
    """The control plane's times, as they were told by the guest that took them."""
    told = results.control
    if not told:
        return "Not measured in this run."
    lines = ["| what | seconds | resident at most, MiB |", "|---|---:|---:|"]
    lines += [f"| {one['what']} | {one['seconds']} | {one['mebibytes']} |" for one in told["rows"]]
    return "\n".join([told["machine"], "", *lines])


def _chosen(results: Results, path: str, outer: int, octets: int, csum: Iterable[str]) -> list[Bar]:
    """The bars of a plot, in the order of the table."""
    return [
        Bar(row.case + (" (checksum off)" if row.csum == "off" else ""), row.instructions, row.module)
        for row in results.rows.values()
        if row.path == path and row.outer == outer and row.octets == octets and row.csum in csum and row.ports == 1
    ]


def _plots(results: Results) -> dict[str, str]:
    unit = "instructions per packet"
    on = ("on", "-")
    made = {
        "local-v4.svg": ("One packet of 64 octets, sender and receiver, outer IPv4, checksum on", unit, _chosen(results, "local", 4, 64, on)),
        "local-v6.svg": ("One packet of 64 octets, sender and receiver, outer IPv6, checksum on", unit, _chosen(results, "local", 6, 64, on)),
        "forward-v4.svg": ("One forwarded packet of 1200 octets, outer IPv4, checksum on", unit, _chosen(results, "forward", 4, 1200, on)),
    }  # fmt: skip
    tcp = [
        Bar(row.case, row.instructions / 1000, row.module)
        for row in results.rows.values()
        if row.path == "tcp" and row.csum in (*on, "remote")
    ]
    made["tcp.svg"] = ("Bulk TCP with GSO and GRO, outer IPv4, checksum on", "instructions per octet", tcp)
    return {name: plot(title, per, found) for name, (title, per, found) in made.items() if found}


def page(text: str, results: Results) -> str:
    """``text`` with what stands between each `<!-- made: NAME -->` and `<!-- end -->` made anew."""
    makers: dict[str, Callable[[], str]] = {
        "machine": lambda: machine(results),
        "bars": lambda: verdicts(results),
        "local 4": lambda: packets(results, "local", 4),
        "local 6": lambda: packets(results, "local", 6),
        "software 4": lambda: packets(results, "software", 4),
        "software 6": lambda: packets(results, "software", 6),
        "forward 4": lambda: packets(results, "forward", 4),
        "forward 6": lambda: packets(results, "forward", 6),
        "decap 4": lambda: packets(results, "decap", 4),
        "decap 6": lambda: packets(results, "decap", 6),
        "decap gro 4": lambda: packets(results, "decap gro", 4),
        "decap gro 6": lambda: packets(results, "decap gro", 6),
        "tcp": lambda: bulk(results),
        "ports": lambda: ports(results),
        "control": lambda: control(results),
    }

    def fill(found: re.Match[str]) -> str:
        if found[1] not in makers:
            raise guest.BenchError(f"docs/benchmarks.md wants a table {found[1]!r}, which nobody makes")
        return f"<!-- made: {found[1]} -->\n{makers[found[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- made: (.*?) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def write(results: Results, target: Path = PAGE) -> None:
    """Make the page and its plots anew."""
    target.write_text(page(target.read_text(), results))
    PLOTS.mkdir(exist_ok=True)
    for name, text in _plots(results).items():
        (PLOTS / name).write_text(text)
