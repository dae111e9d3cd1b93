# SPDX-License-Identifier: Apache-2.0
"""A tunnel's record as text."""

from __future__ import annotations

from collections.abc import Sequence

from gutctl.cli.gue_text import gue_text
from gutctl.cli.option_text import key_text, rule_text
from gutctl.cli.output import drops, fields, octets
from gutctl.model import DEFAULT_SOURCE_PORTS
from gutctl.planners.tunnel_add import inside
from gutctl.planners.words import endpoint, range_word, yes
from gutctl.records import Record

__all__ = ["list_rows", "result_lines", "show_lines"]


def _near(record: Record) -> str:
    return endpoint(record["source"], record["port"])


def _far(record: Record) -> str:
    return endpoint(record["remote"], record["peer_port"])


def _sport(record: Record) -> str:
    if record["source_ports"] is None:
        return "auto"
    low, high = record["source_ports"]
    return range_word((low, high))


def result_lines(record: Record) -> list[str]:
    """After add and set: the tunnel, and the port it receives on."""
    form = record["format"] + ("" if record["inner"] == "any" else f" {record['inner']}")
    words = inside(record["mode"], record["link_kind"] or "", record["key"])
    words += [f"format {form}", f"csum {record['csum']}"]
    if tuple(record["source_ports"] or DEFAULT_SOURCE_PORTS) != DEFAULT_SOURCE_PORTS:
        words.append(f"sport {_sport(record)}")
    if record["options"]:
        words.append(f"options {' '.join(record['options'])}")
    if record["gue"]:
        words.append(gue_text(record["gue"]))
    words += map(rule_text, record["rules"])
    if record["module"] != "gutless":
        words.append(f"module {record['module']}")
    words += [f"mtu {record['mtu']}", "up" if record["up"] else "down"]
    lines = [f"{record['name']}: {_near(record)} -> {_far(record)}, {', '.join(words)}"]
    port = record["receiver"]
    if port is not None:
        lines.append(f"  {port['name']} accepts {accept(port)} from {who(port)}")
    return lines


def accept(port: Record) -> str:
    """``gue0 bare gutless`` or ``fou:4``."""
    return " ".join(f"fou:{port['fou_protocol']}" if form == "fou" else str(form) for form in port["accept"])


def who(port: Record) -> str:
    """Whom a port lets in."""
    if port["any_source"]:
        return "any source"
    only = f" port {port['from_port']}" if port["from_port"] else ""
    return (", ".join(map(bare, port["sources"])) or "nobody") + only


def bare(prefix: str) -> str:
    """A prefix; a host without its length."""
    host, _, length = prefix.partition("/")
    return host if length == ("128" if ":" in host else "32") else prefix


def show_lines(record: Record) -> list[str]:
    """``tunnel show``: a field a line."""
    stats = record["stats"] or {}
    pairs = [
        ("name", record["name"]),
        ("module", record["module"]),
        ("mode", record["mode"]),
        ("key", "none" if record["key"] is None else str(record["key"])),
        ("format", record["format"]),
        ("inner", record["inner"]),
        ("local", _near(record) + ("" if record["local"] else " (by route)")),
        ("remote", _far(record)),
        ("source ports", _sport(record)),
        ("csum", record["csum"]),
        ("options", " ".join(record["options"]) or "none"),
        *([("signs by key", key_text(record["signs"]))] if record["signs"] else []),
        *([("fields of GUE", gue_text(record["gue"]))] if record["gue"] else []),
        *(("rule", rule_text(rule)) for rule in record["rules"]),
        ("mtu", f"{record['mtu']}" + (" (given)" if record["mtu_fixed"] else "")),
        ("ttl", str(record["ttl"])),
        ("tos", str(record["tos"])),
        *([("pmtudisc", yes(record["pmtudisc"]))] if record["pmtudisc"] is not None else []),
        ("addresses", " ".join(record["addresses"]) or "none"),
        ("state", "up" if record["up"] else "down"),
        ("allows", "any source" if record["any_source"] else _prefixes(record["sources"])),
        ("profile", str(record["profile"] or "none")),
        ("link kind", str(record["kind"])),
        ("received", f"{stats.get('rx_packets', 0)} packets, {stats.get('rx_octets', 0)} octets"),
        ("sent", f"{stats.get('tx_packets', 0)} packets, {stats.get('tx_octets', 0)} octets"),
        ("not sent", f"{stats.get('tx_dropped', 0)} packets"),
    ]
    port = record["receiver"]
    if port is not None:
        pairs.append(("receives on", f"{port['name']}: {accept(port)} from {who(port)}"))
        pairs.append(("port drops", drops(port["stats"]["drops"]) if port["stats"] else "-"))
    pairs += [("note", text) for text in record["notes"]]
    return fields(pairs)


def _prefixes(prefixes: Sequence[str]) -> str:
    return ", ".join(map(bare, prefixes)) or "nothing of its own"


def list_rows(records: Sequence[Record], *, stats: bool) -> list[list[str]]:
    """``tunnel list``: a head, a row a tunnel."""
    head = ["NAME", "MODE", "FORMAT", "LOCAL", "REMOTE", "MTU", "STATE", "KEY", "KIND"]
    if stats:
        head += ["RX pkts/octets", "TX pkts/octets", "DROPS"]
    modules = any(record["module"] != "gutless" for record in records)
    if modules:
        head.append("MODULE")
    rows = [head]
    for record in records:
        row = [
            record["name"],
            record["mode"],
            record["format"],
            _near(record),
            _far(record),
            str(record["mtu"]),
            "up" if record["up"] else "down",
            "-" if record["key"] is None else str(record["key"]),
            record["kind"],
        ]
        if stats:
            row += _counters(record)
        if modules:
            row.append(record["module"])
        rows.append(row)
    return rows


def _counters(record: Record) -> list[str]:
    stats = record["stats"]
    lost = dict(record["port_drops"] or {})
    if stats["tx_dropped"]:
        lost["tx"] = stats["tx_dropped"]
    return [
        f"{stats['rx_packets']} / {octets(stats['rx_octets'])}",
        f"{stats['tx_packets']} / {octets(stats['tx_octets'])}",
        drops(lost) if lost or record["port_drops"] is not None else "-",
    ]
