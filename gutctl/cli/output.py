# SPDX-License-Identifier: Apache-2.0
"""Text and JSON from the same records."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import click

from gutctl.cli.context import Session
from gutctl.errors import ExitStatus, GutctlError
from gutctl.plan import Plan, Step, Verdict, execute
from gutctl.records import SCHEMA, Record

__all__ = ["carry_out", "columns", "drops", "error_record", "fields", "octets", "print_json", "report_error", "show"]


def octets(number: int) -> str:
    """A number people can read: 999, 1.1k, 23.4M; powers of 1000."""
    if number < 1000:
        return str(number)
    value = float(number)
    for unit in "kMGTPE":
        value /= 1000
        if value < 999.95:
            break
    return f"{value:.1f}{unit}"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with every column as wide as its widest cell."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def fields(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """``name  value`` lines."""
    return columns([list(pair) for pair in pairs])


def drops(reasons: Mapping[str, int]) -> str:
    """``3 (source 2, variant 1)``; ``0`` where nothing was dropped."""
    some = [f"{name} {count}" for name, count in reasons.items() if count]
    total = sum(reasons.values())
    return f"{total} ({', '.join(some)})" if some else "0"


def print_json(record: Record) -> None:
    """One line with the schema's version first."""
    click.echo(json.dumps({"schema": SCHEMA, **record}))


def show(session: Session, record: Record, lines: Callable[[Record], Sequence[str]]) -> None:
    """A record, as JSON or as the lines made from it."""
    if session.json:
        print_json(record)
        return
    for line in lines(record):
        click.echo(line)


def note(text: str) -> None:
    """For the user's attention, on stderr."""
    click.echo(f"gutctl: note: {text}", err=True)


def _trace(step: Step) -> None:
    for command in step.commands:
        click.echo(command if command.startswith("#") else f"+ {command}", err=True)


def carry_out(
    session: Session,
    plan: Plan,
    noun: str,
    name: Callable[[], str],
    record: Callable[[bool], Record | None],
    lines: Callable[[Record], Sequence[str]],
) -> None:
    """Do what the plan says, or with ``--check`` say it, and print what came of it.

    ``name``: called afterwards, how text names the thing. ``record``: called
    afterwards with whether it was done; None where nothing is left of it.
    """
    will_do = plan.pending and not session.check
    if session.diff and not session.json:
        for line in plan.diff:
            click.echo(line)
    if will_do:
        execute(plan, _trace if session.verbose else None)
    elif session.verbose:
        for step in plan.steps:
            _trace(step)
    pending = plan.pending and session.check
    result = record(not pending)
    if session.json:
        answer: Record = {"result": plan.verdict.value, "pending": pending, "notes": plan.notes}
        if session.diff:
            answer["diff"] = plan.diff
        if pending:
            answer["steps"] = [step.text for step in plan.steps]
        print_json({**answer, noun: result})
    else:
        for text in plan.notes:
            note(text)
        _print_text(session, plan, name(), result, lines, pending)
    if pending:
        raise click.exceptions.Exit(ExitStatus.PENDING)


def _print_text(
    session: Session,
    plan: Plan,
    name: str,
    result: Record | None,
    lines: Callable[[Record], Sequence[str]],
    pending: bool,
) -> None:
    if pending:
        click.echo(f"{name}: would be {plan.verdict}")
        if not session.diff:
            for step in plan.steps:
                click.echo(f"  {step.text}")
    elif plan.verdict in (Verdict.ADDED, Verdict.CHANGED) and result is not None:
        for line in lines(result):
            click.echo(line)
    else:
        click.echo(f"{name}: {plan.verdict}")


def report_error(session: Session, error: GutctlError) -> None:
    """Message and hint on stderr; with ``--json`` a record on stdout as well."""
    click.echo(f"gutctl: {error.message}", err=True)
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)
    if session.json:
        print_json(error_record(error, error.status))


def error_record(error: GutctlError, status: int) -> Record:
    """A refusal as a record; ``kind`` is the name of its exit status."""
    details = {
        "status": int(status),
        "kind": ExitStatus(status).name.lower(),
        "message": error.message,
        "hint": error.hint,
    }
    return {"error": details}
