# SPDX-License-Identifier: Apache-2.0
"""Network namespaces by name, path and process."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gutctl.errors import GutctlError, NotFoundError, NotPermittedError

__all__ = ["RUN", "candidates", "enter", "enter_if_needed", "open_netns", "own_fd"]

RUN: Final = Path("/run/netns")
"""Where iproute2 keeps the names of namespaces."""

_CLONE_NEWNET: Final = 0x40000000


def own_fd() -> int:
    """A descriptor of the calling thread's namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _path(netns: str | int) -> tuple[str, str]:
    """The file to open, and words for it."""
    if isinstance(netns, int):
        return f"/proc/{netns}/ns/net", f"network namespace of process {netns}"
    if "/" in netns:
        return netns, f"network namespace {netns}"
    if netns.isascii() and netns.isdecimal() and not (RUN / netns).exists():
        return f"/proc/{int(netns)}/ns/net", f"network namespace of process {int(netns)}"
    return str(RUN / netns), f"network namespace {netns}"


def open_netns(netns: str | int | None) -> int:
    """A descriptor of a namespace.

    Args:
        netns: a name in /run/netns, a path (it has a ``/``), a process id as
            an int or a decimal string (a name of that spelling comes first),
            None for the calling thread's own.

    Raises:
        NotFoundError: there is none of that name, path or process.
        NotPermittedError: the process is somebody else's.
    """
    if netns is None:
        return own_fd()
    path, what = _path(netns)
    try:
        if netns in ("", ".", ".."):
            raise FileNotFoundError(errno.ENOENT, "empty name")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError) as error:
        hint = None if path.startswith("/proc/") else "ip netns list"
        raise _with_errno(NotFoundError(f"{what or 'network namespace'}: there is none", hint), error) from None
    except PermissionError as error:
        raise _with_errno(NotPermittedError(f"{what}: not permitted", "run it as root"), error) from None
    except OSError as error:
        raise _with_errno(GutctlError(f"{what}: {error.strerror}"), error) from None


def _with_errno(error: GutctlError, cause: OSError) -> GutctlError:
    error.errno = cause.errno
    return error


def _setns(fd: int) -> None:
    # os.setns came with Python 3.12
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def enter(fd: int, what: str = "network namespace") -> None:
    """Take the calling thread, and only it, into a namespace.

    Raises:
        NotFoundError: the descriptor is of something else.
        NotPermittedError: CAP_SYS_ADMIN is missing.
    """
    try:
        _setns(fd)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise _with_errno(NotFoundError(f"{what}: not a network namespace"), error) from None
        if error.errno == errno.EPERM:
            message = f"{what}: not permitted to enter it"
            raise _with_errno(NotPermittedError(message, "run it as root"), error) from None
        raise _with_errno(GutctlError(f"{what}: {error.strerror}"), error) from None


def same(one: int, other: int) -> bool:
    """Whether two descriptors are of one namespace."""
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def enter_if_needed(fd: int, what: str = "network namespace") -> None:
    """As ``enter``, and nothing where the thread stands there already: that needs no capability."""
    here = own_fd()
    try:
        needed = not same(here, fd)
    finally:
        os.close(here)
    if needed:
        enter(fd, what)


def candidates() -> Iterator[str]:
    """Names and paths under which a namespace may be reached: named ones, our own, that of process 1."""
    try:
        yield from sorted(entry.name for entry in RUN.iterdir())
    except OSError:
        pass
    yield f"/proc/{os.getpid()}/ns/net"
    yield "/proc/1/ns/net"
