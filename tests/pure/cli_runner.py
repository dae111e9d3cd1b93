# SPDX-License-Identifier: Apache-2.0
"""Runs the command line in this process, on a machine in memory."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner
from fake_kernel import Machine

from gutctl.cli import main
from gutctl.cli.context import Session


@dataclass
class Result:
    """What a user sees."""

    status: int
    out: str
    err: str

    @property
    def record(self) -> dict[str, Any]:
        """The JSON record of a command with --json."""
        answer: dict[str, Any] = json.loads(self.out)
        return answer


def gutctl(machine: Machine, line: str) -> Result:
    """Run one command line."""
    args = shlex.split(line)
    result = CliRunner().invoke(main, args, obj=Session(machine.world), catch_exceptions=False)
    return Result(result.exit_code, result.stdout, result.stderr)


def must(machine: Machine, line: str, status: int = 0) -> Result:
    """Run, and demand an exit status."""
    result = gutctl(machine, line)
    assert result.status == status, f"{line}: {result}"
    return result
