# SPDX-License-Identifier: Apache-2.0
"""``gutctl ext attach``, ``detach``, ``set`` and ``rule``: what a tunnel sends."""

from __future__ import annotations

import click

from gutctl._wire.optiontype import Option
from gutctl.cli.context import NAME, OPTION, Checked, Session, changing, common, pass_session
from gutctl.cli.ext import ext
from gutctl.cli.option_text import rule_text
from gutctl.cli.output import show
from gutctl.cli.tunnel import finish
from gutctl.errors import NotFoundError, UsageError
from gutctl.model import Rule
from gutctl.planners.extend import RuleRequest, plan_attach, plan_change, plan_detach, plan_rule_add, plan_rule_del
from gutctl.planners.tunnel_del import find_tunnel
from gutctl.records import rule_record

__all__ = ["rule"]


def _kind(text: str) -> int:
    from gutctl.ext_api import type_number

    return type_number(text)


def _mark(text: str) -> tuple[int, int]:
    mark, slash, mask = text.partition("/")
    try:
        found = int(mark, 0), int(mask, 0) if slash else 0xFFFFFFFF
    except ValueError:
        raise UsageError(f"--mark {text}: a number, or MARK/MASK, as nftables and ip rule write them") from None
    if not all(0 <= one <= 0xFFFFFFFF for one in found):
        raise UsageError(f"--mark {text}: marks have 32 bits")
    return found


TYPE = Checked("NAME|NUMBER", _kind)
MARK = click.option("--mark", type=Checked("MARK[/MASK]", _mark), required=True, help="Of the packets meant; with a mask, of its bits alone.")


@ext.command()
@click.argument("name", metavar="TUNNEL", type=NAME)
@click.argument("options", metavar="OPTION...", type=OPTION, nargs=-1, required=True)
@changing
@pass_session
def attach(session: Session, name: str, options: tuple[Option, ...]) -> None:
    """Send options in every packet of a tunnel, beside those it sends already.

    An OPTION is written NAME[=VALUE[,FIELD=VALUE..]], or 0xNN=HEX: gutctl ext show NAME tells the fields.
    """
    plan, after = plan_attach(session.world.using(session.only), name, options)
    finish(session, plan, after, session.world.here)


@ext.command()
@click.argument("name", metavar="TUNNEL", type=NAME)
@click.argument("types", metavar="TYPE...", type=TYPE, nargs=-1, required=True)
@click.option("--must-exist", is_flag=True, help="Exit with 5 when it sends none.")
@changing
@pass_session
def detach(session: Session, name: str, types: tuple[int, ...], must_exist: bool) -> None:
    """Send no options of these types any more."""
    plan, after = plan_detach(session.world.using(session.only), name, types, must_exist=must_exist)
    finish(session, plan, after, session.world.here)


@ext.command(name="set")
@click.argument("name", metavar="TUNNEL", type=NAME)
@click.argument("options", metavar="OPTION...", type=OPTION, nargs=-1, required=True)
@changing
@pass_session
def set_(session: Session, name: str, options: tuple[Option, ...]) -> None:
    """Give options that a tunnel sends another value.

    Of the same length, it is one step: each packet has the old value or the new one, and none is lost. Of
    another length, the device goes down for a moment.
    """
    plan, after = plan_change(session.world.using(session.only), name, options)
    finish(session, plan, after, session.world.here)


@ext.group()
@common
def rule() -> None:
    """By which of a tunnel's packets take another profile: those with a firewall mark."""


@rule.command()
@click.argument("name", metavar="TUNNEL", type=NAME)
@MARK
@click.option("--profile", "number", type=click.IntRange(1, 8191), required=True, help="The profile they take (gutctl profile list).")
@click.option("--first", is_flag=True, help="In front of the other rules: the first that fits counts.")
@changing
@pass_session
def add(session: Session, name: str, mark: tuple[int, int], number: int, first: bool) -> None:
    """Let packets with a mark take another profile, and so other options.

    Marks come from nftables, SO_MARK or a cgroup. Without a rule that fits, the tunnel's own settings count.
    """
    request = RuleRequest(name, Rule(mark[0], number, mark[1]), first)
    plan, after = plan_rule_add(session.world.using(session.only), request)
    finish(session, plan, after, session.world.here)


@rule.command(name="del")
@click.argument("name", metavar="TUNNEL", type=NAME)
@MARK
@click.option("--must-exist", is_flag=True, help="Exit with 5 when there is none.")
@changing
@pass_session
def del_(session: Session, name: str, mark: tuple[int, int], must_exist: bool) -> None:
    """Take the rule for a mark away."""
    plan, after = plan_rule_del(session.world.using(session.only), name, *mark, must_exist=must_exist)
    finish(session, plan, after, session.world.here)


@rule.command(name="list")
@click.argument("name", metavar="TUNNEL", type=NAME)
@common
@pass_session
def list_(session: Session, name: str) -> None:
    """Print a tunnel's rules, in the order in which they are tried."""
    seen = find_tunnel(session.world.using(session.only), name)
    if seen is None:
        raise NotFoundError(f"there is no tunnel {name}", f"{session.command('tunnel')} list")
    show(session, {"rules": [rule_record(one) for one in seen.tunnel.rules]}, lambda record: list(map(rule_text, record["rules"])))
