# SPDX-License-Identifier: Apache-2.0
"""What each exit status means, for help, the manual page and the reference."""

from __future__ import annotations

from gutctl.errors import ExitStatus

__all__ = ["EXITS", "INTERRUPTED", "epilog"]

EXITS = {
    ExitStatus.OK: "done, unchanged or absent",
    ExitStatus.FAILED: "failed",
    ExitStatus.USAGE: "usage",
    ExitStatus.CONFLICT: "conflict with what is there",
    ExitStatus.IN_USE: "in use by something else",
    ExitStatus.NOT_FOUND: "not found",
    ExitStatus.NOT_PERMITTED: "not permitted",
    ExitStatus.UNSUPPORTED: "kernel support missing",
    ExitStatus.PENDING: "changes pending (--check)",
}

INTERRUPTED = 130
"""As shells say it of SIGINT."""


def epilog() -> str:
    """All of them on one line."""
    words = [f"{int(status)} {text}" for status, text in EXITS.items()]
    return f"Exit status: {'; '.join(words)}."
