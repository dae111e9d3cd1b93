# SPDX-License-Identifier: Apache-2.0
"""``gutctl ext watch``: options as they come in."""

from __future__ import annotations

import contextlib

import click

from gutctl.cli.context import OPTION_TYPE, Session, common, pass_session
from gutctl.cli.ext import ext
from gutctl.cli.output import note, print_json
from gutctl.ext_api import Lost, Watch, Where, load, type_of
from gutctl.planners.words import endpoint
from gutctl.records import Record, delivered_record

__all__ = ["watch"]


@ext.command()
@click.argument("words", metavar="[WHERE] [TYPE...]", nargs=-1)
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many options.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Stop when nothing came for so many seconds.")
@common
@pass_session
def watch(session: Session, words: tuple[str, ...], count: int | None, timeout: float | None) -> None:
    """Print options as ports deliver them, one line an option, with --json one record a line.

    WHERE is a tunnel or a port's number, TYPE the name of a type or its number as 0x3e; without them everything
    of this namespace. What is delivered is said by rules: gutctl ext receive add PORT TYPE deliver. What came
    faster than it was read is lost, and how much is said.
    """
    load()
    where, types = _split(words)
    world = session.gutless("delivered options")
    if not any(rule.deliver for port in world.door.ports() for rule in port.rules if not types or rule.type in types):
        note("no port has a rule to deliver that: gutctl ext receive add PORT TYPE deliver")

    def ready() -> None:
        if session.verbose:
            click.echo("gutctl: listening", err=True)

    seen = 0
    with contextlib.suppress(KeyboardInterrupt), Watch(lambda: world, where, types, timeout, ready) as options:
        for one in options:
            record = delivered_record(one)
            if session.json:
                print_json(record)
            else:
                click.echo(_line(record))
            seen += not isinstance(one, Lost)
            if seen == count:
                return


def _split(words: tuple[str, ...]) -> tuple[Where, list[int]]:
    """A first word that is no type of option is a tunnel, and one in decimal a port."""
    where: Where = None
    if words and words[0].isdigit():
        where, words = int(words[0]), words[1:]
    elif words and not words[0].startswith("0x") and type_of(words[0]) is None:
        where, words = words[0], words[1:]
    return where, [OPTION_TYPE.convert(word, None, None) for word in words]


def _line(record: Record) -> str:
    if "lost" in record:
        return f"{record['lost']} options were lost: they came faster than they were read"
    peer = endpoint(record["peer"], record["peer_port"])
    by = f" by {record['tunnel']}" if record["tunnel"] else ""
    packets = f"  ({record['packets']} packets)" if record["packets"] > 1 else ""
    return f"{record['time']} port {record['port']} from {peer}{by}: {record['option']}{packets}"

