# SPDX-License-Identifier: Apache-2.0
"""``gutctl profile``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from gutctl import checks
from gutctl._wire.optiontype import Option
from gutctl.cli.context import OPTION, OPTION_HELP, Checked, Session, changing, common, pass_session
from gutctl.cli.gue_text import gue_given, gue_options, gue_text
from gutctl.cli.option_text import key_text, rule_text
from gutctl.cli.output import carry_out, columns, drops, fields, octets, show
from gutctl.errors import NotFoundError, UsageError
from gutctl.model import DEFAULT_SOURCE_PORTS, Csum, Format, GueFields, Profile
from gutctl.plan import Plan
from gutctl.planners.profile import plan_profile_add, plan_profile_del, plan_profile_set
from gutctl.planners.words import range_word
from gutctl.records import Record, profile_record

__all__ = ["profile"]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 8191:
        raise UsageError(f"profile {text}: profiles are numbered 1 to 8191")
    return int(text)


NUMBER = Checked("NUMBER", _number)
FORMATS = click.Choice([form.value for form in Format])
CSUMS = click.Choice([csum.value for csum in Csum])
SPORT = Checked("auto|N|MIN-MAX", checks.source_ports)


@click.group()
@common
def profile() -> None:
    """A sending profile: format, checksum, source ports, options. Links name it by number."""


@profile.command()
@click.argument("number", type=NUMBER, required=False)
@click.option("--format", "form", type=FORMATS, required=True, help="What is sent.")
@click.option("--csum", type=CSUMS, default="full", help="Outer UDP checksum.", show_default=True)
@click.option("--sport", type=SPORT, help="Source port: by flow, fixed, or a range.  [auto]")
@click.option("--option", "options", multiple=True, type=OPTION, help=OPTION_HELP)
@click.option("--room", type=click.IntRange(0, 124), default=0, help="Octets links keep for options, at least.  [as needed]")
@gue_options("Send")
@changing
@pass_session
def add(
    session: Session,
    /,
    number: int | None,
    form: str,
    csum: str,
    sport: tuple[int, int] | None,
    options: tuple[Option, ...],
    room: int,
    **gue: Any,
) -> None:
    """Make a profile. Without NUMBER one of the same content will do, else any free number."""
    wanted = Profile(
        number or 0,
        Format(form),
        Csum(csum),
        sport or DEFAULT_SOURCE_PORTS,
        options=options,
        room=(room + 3) // 4,
        gue=GueFields(**gue_given(gue)),
    )
    plan, result = plan_profile_add(session.gutless("profiles"), wanted, session.command("profile"))
    _finish(session, plan, lambda: result[0])


@profile.command(name="set")
@click.argument("number", type=NUMBER)
@click.option("--format", "form", type=FORMATS, help="What is sent.")
@click.option("--csum", type=CSUMS, help="Outer UDP checksum.")
@click.option("--sport", type=SPORT, help="Source port: by flow, fixed, or a range.")
@click.option("--option", "options", multiple=True, type=OPTION, help=OPTION_HELP)
@click.option("--no-options", is_flag=True, help="Without options.")
@gue_options("Send")
@changing
@pass_session
def set_(
    session: Session,
    /,
    number: int,
    form: str | None,
    csum: str | None,
    sport: tuple[int, int] | None,
    options: tuple[Option, ...],
    no_options: bool,
    **gue: Any,
) -> None:
    """Change what is given while links send with it."""
    changes: dict[str, Any] = {}
    if form:
        changes["format"] = Format(form)
    if csum:
        changes["csum"] = Csum(csum)
    if sport:
        changes["source_ports"] = sport
    if options and no_options:
        raise UsageError("--option and --no-options: with these, or without any?")
    if options or no_options:
        changes["options"] = options
    if asked := gue_given(gue):
        changes["gue"] = asked
    if not changes:
        raise UsageError("nothing to change was given", "gutctl profile set --help")
    plan, after = plan_profile_set(session.gutless("profiles"), number, changes)
    _finish(session, plan, lambda: after)


@profile.command(name="del")
@click.argument("number", type=NUMBER)
@click.option("--must-exist", is_flag=True, help="Exit with 5 when there is none.")
@click.option("--force", is_flag=True, help="Also when tunnels send with it.")
@changing
@pass_session
def del_(session: Session, number: int, must_exist: bool, force: bool) -> None:
    """Delete a profile."""
    plan = plan_profile_del(session.gutless("profiles"), number, must_exist=must_exist, force=force)
    carry_out(session, plan, "profile", lambda: f"profile {number}", lambda _: None, _result)


def _finish(session: Session, plan: Plan, after: Callable[[], Profile]) -> None:
    def record(done: bool) -> Record:
        now = session.gutless("profiles").door.profile(after().number) if done else None
        return profile_record(now or after())

    carry_out(session, plan, "profile", lambda: _name(after().number), record, _result)


def _name(number: int) -> str:
    return f"profile {number}" if number else "profile"


def _sport(record: Record) -> str:
    low, high = record["source_ports"]
    return range_word((low, high))


def _result(record: Record) -> list[str]:
    words = [f"format {record['format']}", f"csum {record['csum']}", f"sport {_sport(record)}"]
    if record["options"]:
        words.append(f"options {' '.join(record['options'])}")
    if record["gue"]:
        words.append(gue_text(record["gue"]))
    words += map(rule_text, record["rules"])
    return [f"{_name(record['number'])}: {', '.join(words)}"]


@profile.command(name="show")
@click.argument("number", type=NUMBER)
@common
@pass_session
def show_(session: Session, number: int) -> None:
    """Print every field and counter of a profile."""
    one = session.gutless("profiles").door.profile(number)
    if one is None:
        raise NotFoundError(f"there is no profile {number}", f"{session.command('profile')} list")
    show(session, {"profile": profile_record(one)}, lambda r: _details(r["profile"]))


def _details(record: Record) -> list[str]:
    stats = record["stats"]
    return fields(
        [
            ("number", str(record["number"])),
            ("format", record["format"]),
            ("csum", record["csum"]),
            ("source ports", _sport(record)),
            ("options", " ".join(record["options"]) or "none"),
            ("fields of GUE", gue_text(record["gue"])),
            ("room", f"{record['room']} octets of options"),
            *([("key", key_text(record["key"]))] if record["key"] else []),
            *(("rule", rule_text(rule)) for rule in record["rules"]),
            ("made by", {"admin": "profile add", "tunnel": "tunnel add"}[record["origin"]]),
            ("sent", f"{stats['packets']} packets, {stats['octets']} octets"),
            ("unsegmented", f"{stats['offloaded']} packets"),
            ("ICMP errors", str(stats["icmp_errors"])),
            ("drops", drops(stats["drops"])),
        ]
    )


@profile.command(name="list")
@common
@pass_session
def list_(session: Session) -> None:
    """Print all profiles of this namespace."""
    records = [profile_record(one) for one in session.gutless("profiles").door.profiles()]

    def lines(record: Record) -> list[str]:
        rows = [["NUMBER", "FORMAT", "CSUM", "SPORT", "OPTIONS", "MADE BY", "TX pkts/octets", "DROPS"]]
        for one in record["profiles"]:
            stats = one["stats"]
            rows.append(
                [
                    str(one["number"]),
                    one["format"],
                    one["csum"],
                    _sport(one),
                    " ".join(one["options"]) or "-",
                    one["origin"],
                    f"{stats['packets']} / {octets(stats['octets'])}",
                    drops(stats["drops"]),
                ]
            )
        return columns(rows)

    show(session, {"profiles": records}, lines)
