# SPDX-License-Identifier: Apache-2.0
"""A port's record as text."""

from __future__ import annotations

from collections.abc import Sequence

from gutctl.cli.gue_text import gue_text
from gutctl.cli.option_text import key_text
from gutctl.cli.output import drops, fields, octets
from gutctl.cli.tunnel_text import accept, who
from gutctl.planners.words import endpoint
from gutctl.records import Record

__all__ = ["control", "details", "list_rows", "name", "result_lines", "rule_line"]

MADE_BY = {"admin": "port add", "tunnel": "tunnel add", None: "-"}


def name(record: Record) -> str:
    """``port 6080/udp6 on 2001:db8::5 device eth0``."""
    text = f"port {record['port']}/udp" + ("6" if record["family"] == 6 else "")
    text += f" on {record['local']}" if record["local"] else ""
    return text + (f" device {record['device']}" if record["device"] else "")


def _module(record: Record) -> str:
    return "" if record["module"] == "gutless" else f", module {record['module']}"


def result_lines(record: Record) -> list[str]:
    """After add and set."""
    needs = f", requires {gue_text(record['gue'])}" if record["gue"] else ""
    lines = [f"{name(record)} accepts {accept(record)} from {who(record)}{needs}{_module(record)}"]
    lines += [f"  rule {rule['rule']}" for rule in record["rules"]]
    lines += [f"  key {key_text(key)}" for key in record["keys"]]
    return [*lines, "  auth required"] if record["require_auth"] else lines


def rule_line(rule: Record) -> str:
    """A rule and what it did."""
    stats = rule["stats"]
    return f"{rule['rule']}  matched {stats['matched']}, dropped {stats['dropped']}, delivered {stats['delivered']}"


def _inner(record: Record, between: str) -> str:
    inner = record["inner"]
    return "any" if inner is None else between.join(map(str, inner))


def details(record: Record) -> list[str]:
    """``port show``: a field a line; ``-`` for what the module does not keep."""
    stats = record["stats"]
    zero = record["family"] == 4 or record["zero_csum6"]
    return fields(
        [
            ("port", name(record)),
            ("module", record["module"]),
            ("accepts", accept(record)),
            ("inner", _inner(record, " ")),
            ("from", who(record)),
            ("no checksum", "accepted" if zero else "refused"),
            ("remote checksum", "written at once" if record["remcsum_nopartial"] else "left partial"),
            *(("rule", rule_line(rule)) for rule in record["rules"]),
            *(("key", key_text(key)) for key in record["keys"]),
            *([("auth", "required")] if record["require_auth"] else []),
            ("requires of GUE", gue_text(record["gue"])),
            ("answers", " ".join(record["answers"]) or "nothing"),
            ("verifies", "headers" if record["verify_headers"] else "all"),
            ("made by", MADE_BY[record["origin"]]),
            ("received", f"{stats['packets']} packets, {stats['octets']} octets" if stats else "-"),
            ("merged", f"{stats['offloaded']} packets" if stats else "-"),
            ("drops", drops(stats["drops"]) if stats else "-"),
            ("control", control(stats["control"]) if stats else "-"),
        ]
    )


def control(counters: Record) -> str:
    """``echo requests 3, reports sent 1``; ``-`` where there was none."""
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counters.items() if count) or "-"


def list_rows(records: Sequence[Record]) -> list[list[str]]:
    """``port list``: a head, a row a port; the module where one is not gutless."""
    rows = [["PORT", "ACCEPTS", "INNER", "FROM", "MADE BY", "RX pkts/octets", "DROPS"]]
    modules = any(record["module"] != "gutless" for record in records)
    if modules:
        rows[0].append("MODULE")
    for one in records:
        wildcard = "[::]" if one["family"] == 6 else "*"
        near = endpoint(one["local"], one["port"]) if one["local"] else f"{wildcard}:{one['port']}"
        stats = one["stats"]
        row = [
            near + (f"%{one['device']}" if one["device"] else ""),
            accept(one),
            _inner(one, ","),
            who(one),
            one["origin"] or "-",
            f"{stats['packets']} / {octets(stats['octets'])}" if stats else "-",
            drops(stats["drops"]) if stats else "-",
        ]
        rows.append([*row, one["module"]] if modules else row)
    return rows
