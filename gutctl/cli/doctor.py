# SPDX-License-Identifier: Apache-2.0
"""``gutctl doctor``."""

from __future__ import annotations

import click

from gutctl.cli.context import Session, common, pass_session
from gutctl.cli.output import columns, show
from gutctl.doctor import examine, status
from gutctl.records import Record

__all__ = ["doctor"]


@click.command()
@common
@pass_session
def doctor(session: Session) -> None:
    """Look for what keeps tunnels from working. Changes nothing.

    Exit status: 0 when nothing fails, 7 when the kernel's part is missing (gutless,
    unless --module says otherwise), else 1.
    """
    findings = list(examine(session.world.using(session.only)))
    record: Record = {
        "findings": [{"level": one.level.value, "text": one.text, "command": one.command} for one in findings]
    }
    show(session, record, _lines)
    result = status(findings)
    if result:
        raise click.exceptions.Exit(result)


def _lines(record: Record) -> list[str]:
    return columns([[f["level"], f["text"], f["command"] or ""] for f in record["findings"]])
