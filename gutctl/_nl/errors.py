# SPDX-License-Identifier: Apache-2.0
"""Errno and the kernel's own sentence, turned into an error for people."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from typing import Final

from gutctl.errors import (
    ConflictError,
    GutctlError,
    InUseError,
    NotFoundError,
    NotPermittedError,
    UnsupportedError,
)

__all__ = ["FAMILY_HINT", "KINDS", "KernelRefusal", "family_missing", "translate"]

FAMILY_HINT: Final = "modprobe gutless"

KINDS: Final[dict[int, type[GutctlError]]] = {
    errno.EEXIST: ConflictError,
    errno.EADDRINUSE: InUseError,
    errno.EBUSY: InUseError,
    errno.ENOENT: NotFoundError,
    errno.ENODEV: NotFoundError,
    errno.ENXIO: NotFoundError,
    errno.ESRCH: NotFoundError,
    errno.ENETUNREACH: NotFoundError,
    errno.EHOSTUNREACH: NotFoundError,
    errno.EPERM: NotPermittedError,
    errno.EACCES: NotPermittedError,
    errno.EOPNOTSUPP: UnsupportedError,
    errno.EAFNOSUPPORT: UnsupportedError,
    errno.EPROTONOSUPPORT: UnsupportedError,
    errno.ENOSYS: UnsupportedError,
}
"""Errno to kind of error; what is not here is a plain GutctlError."""

_SENTENCES: Final[dict[int, str]] = {
    errno.EEXIST: "exists already",
    errno.EADDRINUSE: "in use by another socket",
    errno.ENOENT: "not found",
    errno.ENODEV: "no such device",
    errno.EPERM: "not permitted",
    errno.EACCES: "not permitted",
    errno.EADDRNOTAVAIL: "the local address is not on this host",
    errno.EOPNOTSUPP: "the kernel does not support it",
}

_HINTS: Final[dict[int, str]] = {
    errno.EPERM: "run it as root, or with CAP_NET_ADMIN in the namespace",
    errno.EACCES: "run it as root, or with CAP_NET_ADMIN in the namespace",
}


@dataclass(slots=True)
class KernelRefusal(Exception):
    """What the kernel answered to one request: for the inside of the door only."""

    code: int
    """Errno, positive; 0 never."""
    sentence: str | None = None
    """Its own words (NLMSGERR_ATTR_MSG)."""
    attribute: str | None = None
    """Path of the attribute it points at, as ``source.prefix-len``."""
    missing: str | None = None
    """Name of the attribute that it wants and that was not there."""


def _sentence(refusal: KernelRefusal) -> str:
    text = refusal.sentence
    if text:
        text = text.strip().rstrip(".")
    else:
        text = _SENTENCES.get(refusal.code) or os.strerror(refusal.code)
    # an attribute that the sentence names already need not be named again
    words = set(re.findall(r"[\w-]+", text.lower()))
    if refusal.missing and refusal.missing.lower() not in words:
        text += f" (missing attribute {refusal.missing})"
    elif refusal.attribute and refusal.attribute.rpartition(".")[2].lower() not in words:
        text += f" (attribute {refusal.attribute})"
    return text


def translate(what: str, refusal: KernelRefusal, *, hint: str | None = None) -> GutctlError:
    """The error to raise for a refused request about ``what``.

    Its kind follows the errno (see ``KINDS``), its message is ``what`` and the
    kernel's sentence, ``errno`` is kept in the attribute of that name.
    """
    kind = KINDS.get(refusal.code, GutctlError)
    error = kind(f"{what}: {_sentence(refusal)}", hint or _HINTS.get(refusal.code))
    error.errno = refusal.code
    return error


def family_missing(name: str = "gutless") -> UnsupportedError:
    """The error of a kernel that has no family of that name, which is its module's."""
    error = UnsupportedError(f"the kernel module {name} is not loaded", f"modprobe {name}")
    error.errno = errno.ENOENT
    return error
