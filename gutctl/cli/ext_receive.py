# SPDX-License-Identifier: Apache-2.0
"""``gutctl ext receive``: what ports do about options."""

from __future__ import annotations

from typing import Any

import click

from gutctl.cli.context import OPTION_TYPE, Session, changing, common, pass_session
from gutctl.cli.ext import ext
from gutctl.cli.output import columns, show
from gutctl.cli.port import finish, key_options, named_key, record_of
from gutctl.cli.port_text import name
from gutctl.errors import NotFoundError
from gutctl.ext_api import parse_rule
from gutctl.planners.port import PortChange, plan_port_set
from gutctl.planners.words import port_name
from gutctl.records import Record

__all__ = ["receive"]


@ext.group()
@common
def receive() -> None:
    """Receive rules: what a port does with packets that have an option of a type, and with those that have not."""


@receive.command()
@key_options
@click.argument("kind", metavar="TYPE")
@click.argument("action", metavar="ACTION")
@changing
@pass_session
def add(session: Session, /, kind: str, action: str, **given: Any) -> None:
    """A rule for a type of option, in place of the one that was there.

    ACTION is ignore (passes, whatever its action bits), require (dropped without it), require=VALUE (dropped
    without it and with another value), drop (dropped with it), deliver (passes, and gutctl ext watch gets it)
    or require+deliver, with a value or without. TYPE is a name (gutctl ext list) or a number, VALUE is written as
    for --option: gutctl ext receive add 6080 group require=7.
    """
    rule = parse_rule(f"{kind}={action}")
    world = session.gutless("rules for options")
    plan, after = plan_port_set(world, PortChange(named_key(session, given), rules=(rule,)))
    finish(session, world, plan, after)


@receive.command(name="del")
@key_options
@click.argument("kind", metavar="TYPE", type=OPTION_TYPE)
@click.option("--must-exist", is_flag=True, help="Exit with 5 when there is none.")
@changing
@pass_session
def del_(session: Session, /, kind: int, must_exist: bool, **given: Any) -> None:
    """No rule for a type any more: its action bits decide again."""
    world = session.gutless("rules for options")
    key = named_key(session, given)
    if must_exist:
        now = world.door.port(key)
        if now is not None and kind not in {rule.type for rule in now.rules}:
            raise NotFoundError(f"{port_name(key)} has no rule for option 0x{kind:02x}", "gutctl ext receive list")
    plan, after = plan_port_set(world, PortChange(key, remove_rules=frozenset({kind})))
    finish(session, world, plan, after)


@receive.command(name="list")
@common
@pass_session
def list_(session: Session) -> None:
    """All rules of this namespace's ports, with what each has done.

    MATCHED and DELIVERED count options of packets that passed, DROPPED packets.
    """
    ports = [record_of(session, port) for port in session.gutless("rules for options").door.ports()]
    key = ("family", "port", "local", "device")
    rules = [{**{word: port[word] for word in key}, **rule} for port in ports for rule in port["rules"]]
    show(session, {"rules": rules}, _table)


def _table(record: Record) -> list[str]:
    rows = [["PORT", "TYPE", "RULE", "MATCHED", "DROPPED", "DELIVERED"]]
    for one in record["rules"]:
        counts = [str(one["stats"][word]) for word in ("matched", "dropped", "delivered")]
        rows.append([name(one).removeprefix("port "), f"0x{one['type']:02x}", one["rule"], *counts])
    return columns(rows)
