# SPDX-License-Identifier: Apache-2.0
"""gutctl as its users call it: inside this process, which is quick, or as a program of its own, which is the truth."""

from __future__ import annotations

import contextlib
import io
import json as json_module
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from net import Host

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Said:
    """Exit code and output of one call."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output as JSON."""
        return json_module.loads(self.out)

    def __iter__(self) -> Any:
        return iter((self.code, self.out, self.err))


def _arguments(args: tuple[object, ...], netns: Host | str | None, json: bool) -> list[str]:
    words = [str(arg) for arg in args]
    if json:
        words.append("--json")
    if netns is not None:
        words = ["-n", netns.name if isinstance(netns, Host) else netns, *words]
    return words


def gutctl(
    *args: object, netns: Host | str | None = None, json: bool = False, input: bytes = b"", inside: Host | None = None
) -> Said:
    """Call the command line in this process.

    `netns` becomes ``-n NAME``; `inside` runs it in that namespace without saying so. A traceback is an AssertionError:
    no user should ever see one.
    """
    words = _arguments(args, netns, json)

    def call() -> Said:
        from gutctl.cli import main

        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        before = sys.argv, sys.stdin
        sys.argv = ["gutctl", *words]
        sys.stdin = io.TextIOWrapper(io.BytesIO(input), "utf-8")
        code = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                returned = main()
            code = returned if isinstance(returned, int) else 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        except Exception as error:
            raise AssertionError(f"gutctl {' '.join(words)}: traceback instead of a message: {error!r}") from error
        finally:
            sys.argv, sys.stdin = before
        texts = []
        for stream in (out, err):
            stream.flush()
            buffer = stream.buffer
            assert isinstance(buffer, io.BytesIO)
            texts.append(buffer.getvalue().decode())
        return Said(code, texts[0], texts[1])

    return inside.call(call) if inside else call()


def gutctl_program(
    *args: object,
    netns: Host | str | None = None,
    json: bool = False,
    input: bytes = b"",
    inside: Host | None = None,
    timeout: float = 60.0,
) -> Said:
    """The same as a process of its own. Raises subprocess.TimeoutExpired."""
    command = [sys.executable, "-c", "from gutctl.cli import main; main()", *_arguments(args, netns, json)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))

    def call() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, input=input, capture_output=True, timeout=timeout, env=environment, check=False)

    done = inside.call(call) if inside else call()
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


def ok(said: Said) -> Said:
    """`said` itself when the call succeeded, else AssertionError with all it printed."""
    assert said.code == 0, f"exit status {said.code}\n{said.out}{said.err}"
    return said
