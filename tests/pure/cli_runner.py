# SPDX-License-Identifier: Apache-2.0
"""Runs the command line in this process, on a machine in memory."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from dataclasses import dataclass
from typing import Any

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
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(shlex.split(line), "gutctl", standalone_mode=False, obj=Session(machine.world))
    texts = []
    for stream in (out, err):
        assert isinstance(stream.buffer, io.BytesIO)
        texts.append(stream.buffer.getvalue().decode())
    return Result(int(status), *texts)


def must(machine: Machine, line: str, status: int = 0) -> Result:
    """Run, and demand an exit status."""
    result = gutctl(machine, line)
    assert result.status == status, f"{line}: {result}"
    return result
