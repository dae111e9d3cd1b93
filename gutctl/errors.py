# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, as a kind, a message and a hint.

The kind decides the exit status; the statuses are an interface, listed in the
manual page and nowhere else defined.
"""

from __future__ import annotations

from enum import IntEnum, unique

__all__ = [
    "ConflictError",
    "ExitStatus",
    "GutctlError",
    "InUseError",
    "NotFoundError",
    "NotPermittedError",
    "UnsupportedError",
    "UsageError",
]


@unique
class ExitStatus(IntEnum):
    """Exit status of ``gutctl``."""

    OK = 0
    """Done, unchanged or absent."""
    FAILED = 1
    """The kernel or the system refused for a reason without a code of its own."""
    USAGE = 2
    """The command line is wrong."""
    CONFLICT = 3
    """What is there differs from what was asked for."""
    IN_USE = 4
    """Something else holds what was asked for."""
    NOT_FOUND = 5
    """There is no such thing."""
    NOT_PERMITTED = 6
    """The caller lacks a capability."""
    UNSUPPORTED = 7
    """The kernel lacks what is needed."""
    PENDING = 8
    """``--check``: changes would be made."""


class GutctlError(Exception):
    """A refusal for people: what and where in the message, how to mend in the hint."""

    status: ExitStatus = ExitStatus.FAILED
    errno: int | None = None
    """The kernel's errno, where a system call or netlink request was refused."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GutctlError):
    """The request makes no sense, whatever the state of the system."""

    status = ExitStatus.USAGE


class ConflictError(GutctlError):
    """The named thing exists and differs."""

    status = ExitStatus.CONFLICT


class InUseError(GutctlError):
    """Something else holds it, or still needs it."""

    status = ExitStatus.IN_USE


class NotFoundError(GutctlError):
    """The named thing does not exist."""

    status = ExitStatus.NOT_FOUND


class NotPermittedError(GutctlError):
    """The caller lacks a capability, CAP_NET_ADMIN most often."""

    status = ExitStatus.NOT_PERMITTED


class UnsupportedError(GutctlError):
    """A module, or a feature of the running kernel, is missing."""

    status = ExitStatus.UNSUPPORTED
