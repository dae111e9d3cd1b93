# SPDX-License-Identifier: Apache-2.0
"""Requests that the kernel must refuse: with which errno, sentence and attribute, and changing nothing."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from rawnl import RawNetlink, Refused, n


@dataclass(frozen=True)
class Refusal:
    """A request and what is said to it."""

    command: str
    body: bytes
    errno: int
    sentence: str
    attribute: str | int | None = None
    """The attribute that the answer points at, by its name in the uapi header or its number; None: at none."""

    def check(self, netlink: RawNetlink) -> None:
        """Send it; what there was before must be there afterwards, to the octet."""
        before = netlink.state()
        try:
            netlink.do(self.command, self.body)
        except Refused as error:
            said = (errno.errorcode[error.errno or 0], error.sentence, error.attribute)
        else:
            raise AssertionError(f"{self} was done")
        attribute = n(self.attribute) if isinstance(self.attribute, str) else self.attribute
        wanted = (errno.errorcode[self.errno], self.sentence, attribute)
        assert said == wanted, f"said: {said}, wanted: {wanted}"
        assert netlink.state() == before, "a refused request changed something"

    def __str__(self) -> str:
        return f"{self.command} {self.body.hex()} ({os.strerror(self.errno)}: {self.sentence})"
