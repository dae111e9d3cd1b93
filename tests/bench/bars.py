# SPDX-License-Identifier: Apache-2.0
"""What the rows are held to: bars that were set, and that no ratio rises above what it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from rows import Results, Row

KINDS = ("ipip", "sit", "gre", "ip6tnl")
"""Of links that the bars are about; of the others the ratios are held."""
RISE = 0.005
"""Of a ratio, above the one that was accepted: more is a failure."""
RISE_TCP = 0.015
"""The same of the median of several transfers. Where TCP's acknowledgements fall depends on where the module's code lies: the same source,
built in two places, differs by 0.7 % there."""


@dataclass(frozen=True)
class Bar:
    """A ratio to the in-tree row of the same run that was promised."""

    name: str
    paths: tuple[str, ...]
    encapsulation: str
    """Of the case, behind the kind of link."""
    limit: float
    sizes: tuple[int, ...] = (64, 576, 1200)
    csum: tuple[str, ...] = ("on", "off")
    accepted: float = 0.0
    """Where the limit is missed: the ratio that was reached instead, which may not be exceeded either."""
    why: str = ""
    """What stands in the way of the limit."""

    def rows(self, results: Results) -> Iterator[Row]:
        """The rows that the bar is about."""
        for row in results.rows.values():
            kind, _, encapsulation = row.case.partition("+")
            if (
                row.path in self.paths
                and kind in KINDS
                and encapsulation == self.encapsulation
                and row.octets in self.sizes
                and row.csum in self.csum
                and row.ports == 1
            ):
                yield row


PLACE = (
    "it is met where both packets come to lie alike in memory; clearing a buffer (memset) takes 64 instructions more at "
    "some addresses than at others, whose packet ever it is: tests/bench/profile shows them"
)
SUM = (
    "the whole sum over 1200 octets is 214 instructions of 7,915, and with no checksum at all in-tree fou itself is "
    "only 6 % lower; what it saves beyond them is the walk through octets that are in no cache, which instructions do not show"
)

BARS = (
    Bar("FOU at most 0.5 % above in-tree fou", ("local",), "gutless fou", 1.005, accepted=1.0070, why=PLACE),
    Bar("GUE at most 0.5 % above in-tree gue", ("local",), "gutless gue", 1.005, accepted=1.0080, why=PLACE),
    Bar("the bare form at most 0.5 % above in-tree fou", ("local",), "gutless bare", 1.005, accepted=1.0080, why=PLACE),
    Bar(
        "an option that is required at most 1 % above the same tunnel without", ("local",), "gutless group", 1.01,
        csum=("on",), accepted=1.012, why=PLACE,
    ),
    Bar(
        "forwarded with checksum, FOU a quarter below in-tree fou",
        ("forward",), "gutless fou", 0.75, (1200,), ("on",), accepted=0.975, why=SUM,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """How a bar was met by the worst of its rows."""

    bar: Bar
    worst: float
    row: str

    @property
    def met(self) -> bool:
        return self.worst <= self.bar.limit

    @property
    def failed(self) -> bool:
        return self.worst > max(self.bar.limit, self.bar.accepted)

    def __str__(self) -> str:
        said = f"{self.bar.name}: worst {percent(self.worst)} ({self.row})"
        if self.met:
            return f"met     {said}"
        if self.failed:
            return f"FAILED  {said}"
        return f"missed  {said}; accepted up to {percent(self.bar.accepted)}: {self.bar.why}"


def percent(ratio: float) -> str:
    """A ratio as what is above or below the other."""
    return f"{(ratio - 1) * 100:+.2f} %"


def verdicts(results: Results) -> list[Verdict]:
    """Of every bar. A bar with no row to judge by has failed."""
    said = []
    for bar in BARS:
        ratios = [(ratio, row.key) for row in bar.rows(results) if (ratio := results.ratio(row)) is not None]
        said.append(Verdict(bar, *max(ratios, default=(float("inf"), "no such row"))))
    return said


def _median_ratio(results: Results, case: str) -> float | None:
    ratios = [results.ratio(row) for row in results.rows.values() if (row.path, row.case) == ("tcp", case)]
    known = [ratio for ratio in ratios if ratio is not None]
    return median(known) if known else None


def _tcp_rises(now: Results, before: Results) -> Iterator[str]:
    for case in dict.fromkeys(row.case for row in before.rows.values() if row.path == "tcp"):
        was, ratio = _median_ratio(before, case), _median_ratio(now, case)
        if was is None:
            continue
        if ratio is None:
            yield f"tcp/{case}: was measured, and is not any more"
        elif ratio > was + RISE_TCP:
            yield f"tcp/{case}: {percent(was)} before, {percent(ratio)} now (medians)"


def rises(now: Results, before: Results) -> Iterator[str]:
    """Rows whose ratio to the in-tree row of the same run has risen, or that are gone."""
    yield from _tcp_rises(now, before)
    for key, row in before.rows.items():
        if row.path == "tcp":
            continue
        was = before.ratio(row)
        if was is None:
            continue
        ratio = now.ratio(now.rows[key]) if key in now.rows else None
        if ratio is None:
            yield f"{key}: was measured, and is not any more"
        elif ratio > was + RISE:
            yield f"{key}: {percent(was)} before, {percent(ratio)} now"
