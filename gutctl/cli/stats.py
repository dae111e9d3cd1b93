# SPDX-License-Identifier: Apache-2.0
"""``gutctl stats``."""

from __future__ import annotations

import click

from gutctl.cli.context import Session, common, pass_session
from gutctl.cli.onpath_text import name
from gutctl.cli.output import show
from gutctl.cli.port_text import control
from gutctl.planners.words import endpoint
from gutctl.records import Record, info_record, onpath_record, port_record, profile_record, stats_record

__all__ = ["stats"]

SENT = ("sent", "unsegmented")


@click.command()
@common
@pass_session
def stats(session: Session) -> None:
    """Counters of ports, profiles, links without a profile and devices on the path; drops by reason.

    Text leaves out reasons that never happened, JSON has all of them. Octets are
    those of the inner packets.
    """
    door = session.gutless("counters").door
    info = door.info()
    record: Record = {
        "module": info_record(info),
        "ports": [port_record(port) for port in door.ports()],
        "profiles": [profile_record(profile) for profile in door.profiles()],
        "plain": stats_record(info.plain),
        "onpath": [
            onpath_record(one, door.device_name(one.ifindex))
            for one in (door.onpaths() if "onpath" in info.features else ())
        ],
    }
    show(session, record, _lines)


def _lines(record: Record) -> list[str]:
    lines = []
    for port in record["ports"]:
        near = endpoint(port["local"], port["port"])
        lines += _counters(f"port {near} over IPv{port['family']}", ("received", "merged"), port["stats"])
    for profile in record["profiles"]:
        lines += _counters(f"profile {profile['number']}", SENT, profile["stats"])
    lines += _counters("links without a profile", SENT, record["plain"])
    for one in record["onpath"]:
        lines += _on_path(one)
    return lines


def _on_path(record: Record) -> list[str]:
    counters = record["stats"]
    lines = [f"device {name(record)} on the path", f"  seen  {counters['seen']} packets"]
    lines.append(f"  lowered  {counters['lowered']}")
    return lines + [f"  left  {count} {reason}" for reason, count in counters["left"].items() if count]


def _counters(title: str, words: tuple[str, str], counters: Record) -> list[str]:
    verb, offloaded = words
    lines = [title, f"  {verb}  {counters['packets']} packets, {counters['octets']} octets"]
    if counters["offloaded"]:
        lines.append(f"  of them  {counters['offloaded']} {offloaded}")
    if counters["icmp_errors"]:
        lines.append(f"  told of  {counters['icmp_errors']} ICMP errors")
    lines += [f"  dropped  {count} {reason}" for reason, count in counters["drops"].items() if count]
    if any(counters["control"].values()):
        lines.append(f"  control  {control(counters['control'])}")
    return lines
