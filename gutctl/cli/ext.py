# SPDX-License-Identifier: Apache-2.0
"""``gutctl ext``."""

from __future__ import annotations

import click

from gutctl import ext_api
from gutctl.cli.context import Session, common, pass_session
from gutctl.cli.output import columns, fields, note, show
from gutctl.records import Record, option_type_record

__all__ = ["ext"]


@click.group()
@common
def ext() -> None:
    """Options of the GUT-less header: what types there are, what tunnels send, what ports do about them."""


@ext.command(name="list")
@common
@pass_session
def list_(session: Session) -> None:
    """All types of options: the built-in ones, and those that installed packages declare.

    UNKNOWN is what a receiver does that does not know the type, CHANGES whether nodes on the way
    may change the data. ADDED BY is empty for the built-in ones.
    """
    for lost in ext_api.load():
        note(f"left out: {lost.name}: {lost.why}")
    show(session, {"options": [option_type_record(one) for one in ext_api.types()]}, _table)


def _table(record: Record) -> list[str]:
    rows = [["NAME", "TYPE", "OCTETS", "UNKNOWN", "CHANGES", "ADDED BY"]]
    for one in record["options"]:
        changes = "yes" if one["mutable"] else "no"
        rows.append([one["name"], f"0x{one['number']:02x}", _octets(one), _words(one["unknown"]), changes, one["added_by"] or ""])
    return columns(rows)


def _octets(one: Record) -> str:
    if one["octets"] is None:
        return "any"
    return f"{one['octets']} or more" if one["open"] else str(one["octets"])


def _words(name: str) -> str:
    return name.replace("_", " ")


@ext.command(name="show")
@click.argument("which", metavar="NAME|NUMBER")
@common
@pass_session
def show_(session: Session, which: str) -> None:
    """One type with its fields, in the order of the wire. Exit status 5 when nobody declared it."""
    show(session, {"option": option_type_record(ext_api.type_named(which))}, lambda record: _one(record["option"]))


def _one(one: Record) -> list[str]:
    lines = [f"{one['name']}: type 0x{one['number']:02x}"]
    if one["about"]:
        lines.append(f"  {one['about']}")
    pairs = [
        ("octets", _octets(one)),
        ("unknown", _words(one["unknown"])),
        ("changes", "yes" if one["mutable"] else "no"),
        ("at most once", "yes" if one["singleton"] else "no"),
    ]
    if one["added_by"]:
        pairs.append(("added by", one["added_by"]))
    lines += [f"  {line}" for line in fields(pairs)]
    if one["fields"]:
        lines += ["  fields", *(f"    {line}" for line in columns([_field(field) for field in one["fields"]]))]
    return lines


def _field(field: Record) -> list[str]:
    default = field["default"]
    if isinstance(default, bool):
        default = "yes" if default else "no"
    told = "" if default is None else f"default {default}"
    return [field["name"], field["size"], "by the kernel" if field["filled"] else told]
