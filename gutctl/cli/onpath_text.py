# SPDX-License-Identifier: Apache-2.0
"""A device on the path as text."""

from __future__ import annotations

from collections.abc import Sequence

from gutctl.cli.output import fields
from gutctl.planners.words import on_off
from gutctl.records import Record

__all__ = ["details", "left", "list_rows", "name", "result_lines"]


def name(record: Record) -> str:
    """``eth0``, or ``#3`` where the device has gone meanwhile."""
    return record["device"] or f"#{record['ifindex']}"


def _ports(record: Record) -> str:
    return ",".join(map(str, record["ports"])) or "-"


def left(record: Record) -> str:
    """``no-check 3, enough 2``: packets left as they are; ``0`` where there are none."""
    return ", ".join(f"{reason} {count}" for reason, count in record["stats"]["left"].items() if count) or "0"


def result_lines(record: Record) -> list[str]:
    """After set."""
    words = f"min-path-mtu {on_off(record['min_path_mtu'])}"
    return [f"device {name(record)}: {words}" + (f", port {_ports(record)}" if record["ports"] else "")]


def details(record: Record) -> list[str]:
    """``onpath show``: a field a line."""
    stats = record["stats"]
    return fields(
        [
            ("device", name(record)),
            ("min-path-mtu", on_off(record["min_path_mtu"])),
            ("ports", _ports(record)),
            ("seen", f"{stats['seen']} packets"),
            ("lowered", f"{stats['lowered']} packets"),
            ("left", left(record)),
        ]
    )


def list_rows(records: Sequence[Record]) -> list[list[str]]:
    """``onpath list``."""
    rows = [["DEVICE", "MIN-PATH-MTU", "PORTS", "SEEN", "LOWERED", "LEFT"]]
    for one in records:
        stats = one["stats"]
        rows.append(
            [
                name(one),
                on_off(one["min_path_mtu"]),
                _ports(one),
                str(stats["seen"]),
                str(stats["lowered"]),
                left(one),
            ]
        )
    return rows
