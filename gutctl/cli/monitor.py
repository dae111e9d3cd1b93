# SPDX-License-Identifier: Apache-2.0
"""``gutctl monitor``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from gutctl.cli.context import Session, common, pass_session
from gutctl.cli.onpath_text import result_lines as onpath_lines
from gutctl.cli.output import print_json
from gutctl.cli.tunnel_text import accept, who
from gutctl.model import OnPath, Port, Profile
from gutctl.planners.words import endpoint, range_word
from gutctl.records import Record, onpath_record, port_record, profile_record

__all__ = ["monitor"]

WORDS = {"add": "added", "set": "changed", "del": "deleted"}


@click.command()
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many events.")
@common
@pass_session
def monitor(session: Session, count: int | None) -> None:
    """Print ports, profiles and devices on the path as they are added, changed and deleted.

    One line an event, with --json one record a line. What the kernel could not
    deliver because we were too slow is said, not passed over.
    """

    def ready() -> None:
        if session.verbose:
            click.echo("gutctl: listening", err=True)

    for seen, event in enumerate(_events(session, ready), start=1):
        if session.json:
            print_json(_record(session, event))
        else:
            click.echo(_line(_record(session, event)))
        if seen == count:
            return


def _events(session: Session, ready: Any) -> Iterator[Any]:
    try:
        yield from session.gutless("events").door.events(ready=ready)
    except KeyboardInterrupt:
        return


def _record(session: Session, event: Any) -> Record:
    record = getattr(event, "record", None)
    at = getattr(event, "time", None)
    when = at.isoformat() if at is not None else None
    if isinstance(record, Port):
        return {"time": when, "event": f"port-{event.action}", "port": port_record(record)}
    if isinstance(record, Profile):
        return {"time": when, "event": f"profile-{event.action}", "profile": profile_record(record)}
    if isinstance(record, OnPath):
        # of a device that is gone there is no name any more
        name = session.world.door.device_name(record.ifindex)
        return {"time": when, "event": f"device-{event.action}", "onpath": onpath_record(record, name)}
    return {"time": when, "event": "lost"}


def _line(record: Record) -> str:
    when = record["time"] or ""
    noun, _, action = record["event"].partition("-")
    if noun == "port":
        port = record["port"]
        near = endpoint(port["local"], port["port"])
        return f"{when} {WORDS[action]} port {near} over IPv{port['family']}: accepts {accept(port)} from {who(port)}"
    if noun == "profile":
        profile = record["profile"]
        low, high = profile["source_ports"]
        return (
            f"{when} {WORDS[action]} profile {profile['number']}: format {profile['format']},"
            f" csum {profile['csum']}, sport {range_word((low, high))}"
        )
    if noun == "device":
        return f"{when} {WORDS[action]} {onpath_lines(record['onpath'])[0]}"
    return f"{when} events were lost: list ports and profiles anew"
