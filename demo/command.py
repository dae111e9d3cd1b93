# SPDX-License-Identifier: Apache-2.0
"""gutctl's commands as processes of their own, forked from one that has loaded the library already.

Starting Python and loading the netlink library takes seconds in an emulated machine; what is forked runs the same `main` with the same words.
"""

from __future__ import annotations

import importlib
import os
import sys

#: What the commands of the story would load one by one.
LIBRARY = (
    "gutctl.cli",
    "gutctl.cli.tunnel",
    "gutctl.cli.stats",
    "gutctl.cli.decode",
    "gutctl.netlink",
    "gutctl._nl.sockets",
)


class CommandFailed(Exception):
    """A command of the story exited with something else than 0."""


def load() -> None:
    """Load the library once, before the first fork."""
    for name in LIBRARY:
        importlib.import_module(name)


def gutctl(*words: str) -> str:
    """Run ``gutctl WORDS...`` and return what it printed, messages included. Raises CommandFailed."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            os.close(reading)
            os.close(writing)
            sys.argv = ["gutctl", *words]
            from gutctl.cli import main

            main()
            status = 0
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
        said = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise CommandFailed(f"gutctl {' '.join(words)}: exit status {status}\n{said}")
    return said
