# SPDX-License-Identifier: Apache-2.0
"""``gutctl ping``."""

from __future__ import annotations

from typing import Any

import click

from gutctl import checks
from gutctl.asked import Asked, whom
from gutctl.cli.context import Checked, Session, common, pass_session
from gutctl.cli.output import print_json
from gutctl.control import DATA_DEFAULT, DATA_MAX, NoReply, Ping, Reply, Reported, Summary, Unheard
from gutctl.errors import ExitStatus
from gutctl.ext_api import type_of
from gutctl.planners.words import endpoint
from gutctl.records import Record

__all__ = ["ping"]


@click.command()
@click.argument("peer")
@click.option("-c", "--count", type=click.IntRange(min=1), help="Ask so many times.  [until interrupted]")
@click.option("-i", "--interval", type=click.FloatRange(min=0), default=1.0, help="Seconds between requests.  [1]")
@click.option(
    "-s", "--size", type=click.IntRange(0, DATA_MAX), default=DATA_DEFAULT, metavar="OCTETS",
    help="Octets of data in each request.  [56]",
)  # fmt: skip
@click.option(
    "--port", type=Checked("PORT", checks.port_number),
    help="Our own port to ask from.  [the tunnel's; else the peer's number, else the only one]",
)  # fmt: skip
@click.option(
    "-W", "--timeout", type=click.FloatRange(min=0), default=2.0,
    help="Seconds after which a request counts as lost.  [2]",
)  # fmt: skip
@common
@pass_session
def ping(session: Session, /, **given: Any) -> int:
    """Ask a peer's port for replies: loss, round trip, which options it understands, how it sees us.

    PEER is a tunnel's name, or ADDRESS or ADDRESS:PORT ([ADDRESS]:PORT over IPv6; the port is 6080 unless
    given). Requests go from one of our own receiving ports, which has to let the peer in. Exit status 1:
    no reply came.
    """
    asked = whom(session.gutless("control messages"), given["peer"], given["port"])
    with Ping(asked.kernel, asked.port, asked.peer, asked.peer_port, ifindex=asked.ifindex) as run:
        if not session.json:
            click.echo(
                f"PING {endpoint(str(asked.peer), asked.peer_port)} from port {asked.port.port}/udp,"
                f" {given['size']} octets of data"
            )
        try:
            for one in run.run(given["count"], interval=given["interval"], data=given["size"], timeout=given["timeout"]):
                record = _record(one)
                if session.json:
                    print_json(record)
                else:
                    click.echo(_line(record, asked))
        except KeyboardInterrupt:
            if not session.json:
                click.echo()
        summary = run.summary()
    record = _summary(asked, summary)
    if session.json:
        print_json(record)
    else:
        for line in _last(record, asked):
            click.echo(line)
    return ExitStatus.OK if summary.received else ExitStatus.FAILED


def _types(types: frozenset[int] | None) -> list[Record] | None:
    """Number and name of each, in their order."""
    if types is None:
        return None
    known = [(number, type_of(number)) for number in sorted(types)]
    return [{"number": number, "name": one.name if one else None} for number, one in known]


def _observed(seen: tuple[Any, int] | None) -> Record | None:
    return {"address": str(seen[0]), "port": seen[1]} if seen else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _record(one: Reply | NoReply | Reported | Unheard) -> Record:
    match one:
        case Reply():
            return {
                "event": "reply",
                "sequence": one.sequence,
                "octets": one.octets,
                "round_trip_ms": _milliseconds(one.round_trip),
                "understood": _types(one.understood),
                "observed": _observed(one.observed),
                "duplicate": one.duplicate,
                "damaged": one.damaged,
            }
        case NoReply():
            return {"event": "no-reply", "sequence": one.sequence}
        case Reported():
            return {"event": "report", "code": one.code, "pointer": one.pointer, "option": one.option, "quote": one.quote.hex()}
        case Unheard():
            return {"event": "lost"}


def _line(record: Record, asked: Asked) -> str:
    match record["event"]:
        case "reply":
            marks = [word for word in ("duplicate", "damaged") if record[word]]
            return (
                f"{record['octets']} octets from {asked.peer}: seq={record['sequence']}"
                f" time={record['round_trip_ms']:.3f} ms{''.join(f' ({word})' for word in marks)}"
            )
        case "no-reply":
            return f"no reply from {asked.peer}: seq={record['sequence']}"
        case "report":
            what = "option not known" if record["code"] == 1 else f"code {record['code']}"
            number = "" if record["option"] is None else f" 0x{record['option']:02x}"
            return f"report from {asked.peer}: {what}{number} at octet {record['pointer']}"
        case _:
            return "messages were lost: they came faster than they were read"


def _summary(asked: Asked, summary: Summary) -> Record:
    return {
        "ping": {
            "peer": str(asked.peer),
            "peer_port": asked.peer_port,
            "port": asked.port.port,
            "tunnel": asked.tunnel,
            "sent": summary.sent,
            "received": summary.received,
            "duplicates": summary.duplicates,
            "loss_percent": round(100 * summary.lost, 1),
            "round_trip_ms": None
            if summary.average is None
            else {
                "min": _milliseconds(summary.minimum),
                "avg": _milliseconds(summary.average),
                "max": _milliseconds(summary.maximum),
            },
            "understood": _types(summary.understood),
            "observed": _observed(summary.observed),
        }
    }


def _last(record: Record, asked: Asked) -> list[str]:
    told = record["ping"]
    duplicates = f", {told['duplicates']} duplicates" if told["duplicates"] else ""
    lines = [f"{told['sent']} sent, {told['received']} received, {told['loss_percent']:g} % loss{duplicates}"]
    times = told["round_trip_ms"]
    if times:
        lines.append(f"round trip min/avg/max {times['min']:.3f}/{times['avg']:.3f}/{times['max']:.3f} ms")
        if told["understood"] is None:
            lines.append("options understood: it did not say")
        else:
            names = [one["name"] or f"0x{one['number']:02x}" for one in told["understood"]]
            lines.append(f"options understood: {', '.join(names)}")
    if told["observed"]:
        lines.append(f"sees us at {endpoint(told['observed']['address'], told['observed']['port'])}")
    return lines
