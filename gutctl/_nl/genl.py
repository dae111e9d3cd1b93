# SPDX-License-Identifier: Apache-2.0
"""A generic netlink family: its number, which changes with every loading, and requests to it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

from gutctl.errors import GutctlError, UnsupportedError

from .errors import KernelRefusal, translate
from .family import Attr, AttrSet
from .sockets import DUMP, REPLY, Door, genl_class, plain, to_message
from .tlv import Attrs, attributes

__all__ = ["CTRL_ID", "Family"]

CTRL_ID: Final = 16
"""GENL_ID_CTRL: the family that knows the numbers of the others."""
_CTRL_CMD_GETFAMILY: Final = 3
_CTRL_CMD_GETPOLICY: Final = 10
_CTRL_ATTR_POLICY: Final = 8

_GROUP: Final = AttrSet("ctrl-group", (Attr("name", 1, "string"), Attr("id", 2, "u32")))
# an array: the attribute's number is the index, so the first few are spelled out
_GROUPS: Final = AttrSet("ctrl-groups", tuple(Attr(f"group{n}", n, "nest", _GROUP) for n in range(1, 9)))
_CTRL: Final = AttrSet(
    "ctrl",
    (
        Attr("family-id", 1, "u16"),
        Attr("family-name", 2, "string"),
        Attr("mcast-groups", 7, "nest", _GROUPS),
    ),
)

_CtrlMessage: Final = genl_class(_CTRL)


class Family:
    """A family, by the name it is registered under.

    Args:
        opener: makes the socket.
        name: of the family.
        missing: the error where there is no such family.
        answers: class of its messages, or what chooses one.
        quiet: look through all families: when asked for one by name, the kernel runs modprobe.
        refused: the error for a refused request, by command, what it was about and the refusal.
    """

    def __init__(
        self,
        opener: Callable[[], Door],
        name: str,
        version: int,
        missing: Callable[[], UnsupportedError],
        answers: Any,
        *,
        quiet: bool = False,
        refused: Callable[[int, str, KernelRefusal], GutctlError] = lambda _, what, refusal: translate(what, refusal),
    ) -> None:
        self._name = name
        self._version = version
        self._missing = missing
        self._answers = answers
        self._refused = refused
        self._quiet = quiet
        self.door = opener()
        self.door.speak(CTRL_ID, _CtrlMessage)
        self.id = 0
        self.groups: dict[str, int] = {}
        """Numbers of the multicast groups, by name; known once resolved."""

    def close(self) -> None:
        self.door.close()

    def resolve(self) -> None:
        """Ask for the family's number.

        Raises:
            UnsupportedError: there is no such family.
        """
        self.id = 0
        try:
            answers = self._registered() if self._quiet else self._asked()
        except KernelRefusal as refusal:
            if refusal.code == errno.ENOENT:
                raise self._missing() from None
            raise translate("generic netlink", refusal) from None
        if not answers and self._quiet:
            raise self._missing()
        values = dict(plain(answers[0])) if answers else {}
        if not values.get("family-id"):
            raise GutctlError(f"the kernel did not tell the number of its netlink family {self._name}")
        self.id = values["family-id"]
        groups = [dict(group) for _, group in values.get("mcast-groups", [])]
        self.groups = {group["name"]: group["id"] for group in groups}
        self.door.speak(self.id, self._answers)

    def _asked(self) -> list[Any]:
        message = to_message(_CtrlMessage, [("family-name", self._name)], cmd=_CTRL_CMD_GETFAMILY, version=1)
        return self.door.request(message, CTRL_ID, REPLY, _CTRL)

    def _registered(self) -> list[Any]:
        message = to_message(_CtrlMessage, [], cmd=_CTRL_CMD_GETFAMILY, version=1)
        answers = self.door.request(message, CTRL_ID, DUMP, _CTRL)
        return [answer for answer in answers if dict(plain(answer)).get("family-name") == self._name]

    def known(self) -> frozenset[int]:
        """Numbers of the attributes that the running module has a rule for (CTRL_CMD_GETPOLICY).

        A kernel that cannot tell (before 5.7) gives none.
        """
        self.resolve()
        message = to_message(_CtrlMessage, [("family-id", self.id)], cmd=_CTRL_CMD_GETPOLICY, version=1)
        try:
            answers = self.door.request(message, CTRL_ID, DUMP, _CTRL)
        except KernelRefusal as refusal:
            if refusal.code == errno.EOPNOTSUPP:
                return frozenset()
            raise translate(f"policy of the netlink family {self._name}", refusal) from None
        found: set[int] = set()
        for answer in answers:
            data = answer.data
            for _, kind, start, end in attributes(data, answer.offset + 20, answer.offset + answer.length):
                if kind != _CTRL_ATTR_POLICY:
                    continue
                for _, _, first, last in attributes(data, start, end):
                    found |= {number for _, number, _, _ in attributes(data, first, last)}
        return frozenset(found)

    def request(self, kind: type[Any], command: int, flags: int, attrs: Attrs, what: str) -> list[Attrs]:
        """One request with a message of class ``kind``; its answers' attributes.

        Raises:
            GutctlError: the kernel refused, of the kind that ``refused`` says.
        """
        fresh = not self.id
        if fresh:
            self.resolve()
        while True:
            message = to_message(kind, attrs, cmd=command, version=self._version)
            try:
                return [plain(a) for a in self.door.request(message, self.id, flags, message.table)]
            except KernelRefusal as refusal:
                # ENOENT may also mean that the family's number is no longer its
                if refusal.code == errno.ENOENT and not fresh:
                    before, fresh = self.id, True
                    self.resolve()
                    if self.id != before:
                        continue
                raise self._refused(command, what, refusal) from None
