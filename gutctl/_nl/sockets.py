# SPDX-License-Identifier: Apache-2.0
"""Requests and answers over a netlink socket.

pyroute2 makes the octets of requests and finds the messages in answers; the
socket is one of Python's own. pyroute2's sockets run an asyncio loop for each
answer, which was most of the time that a command took. The octets of every
answer are looked at before pyroute2 parses them: for the refusals (see
extack.py) and for dumps that were interrupted.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, genlmsg, nla, nlmsg
from pyroute2.netlink.nlsocket import Marshal

from .errors import KernelRefusal
from .extack import DUMP_INTERRUPTED, refusals
from .family import AttrSet
from .tlv import Attrs, decode

__all__ = ["ACK", "DUMP", "REPLY", "Door", "genl_class", "message_class", "plain", "to_message"]

REPLY: Final[int] = NLM_F_REQUEST
"""One answer is expected, and no acknowledgement behind it."""
ACK: Final[int] = NLM_F_REQUEST | NLM_F_ACK
"""Nothing but the acknowledgement is expected."""
DUMP: Final[int] = NLM_F_REQUEST | NLM_F_DUMP

_DUMP_TRIES: Final = 20
_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_NETLINK_EXT_ACK: Final = 11
_NETLINK_GET_STRICT_CHK: Final = 12
_NLM_F_MULTI: Final = 2
_LAST: Final = (2, 3)
"""Types of the messages that end an answer: NLMSG_ERROR, which is the acknowledgement too, and NLMSG_DONE."""
_BUFFER: Final = 1 << 20
"""Octets that may wait on a socket, as far as the system allows: a burst of events, a port's 10,000 sources."""
_ROOM: Final = 1 << 17
"""Octets for one datagram of answers: those of the kernel have 32 KiB, or what one record needs (up to 64 KiB)."""

_TYPES: Final = {
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "s32": "int32",
    "u64": "uint64",
    "be16": "be16",
    "be32": "be32",
    "string": "asciiz",
    "binary": "cdata",
    "pad": "none",
    "flag": "flag",
}

Message = Any
"""An nlmsg of pyroute2, which has no types."""


def _body(table: AttrSet, prefix: str) -> dict[str, Any]:
    """Class attributes that make pyroute2 speak a table; one class for each nest."""
    body: dict[str, Any] = {"prefix": ""}
    rows = []
    for attr in table:
        if attr.type == "nest" and attr.nested is not None:
            kind = f"{prefix}_{attr.name}".replace("-", "_")
            # the strict policy checks of genetlink want the bit NLA_F_NESTED
            body[kind] = type(kind, (nla,), {**_body(attr.nested, kind), "nla_flags": 0x8000})
            rows.append((attr.number, attr.name, kind))
        else:
            rows.append((attr.number, attr.name, _TYPES[attr.type]))
    body["nla_map"] = tuple(rows)
    return body


def _undecoded(message: Message, offset: int) -> None:
    """In place of pyroute2's decoder of attributes, which ``plain`` would only repeat."""


def _top(table: AttrSet, family_header: int) -> dict[str, Any]:
    return {**_body(table, "nest"), "table": table, "table_offset": family_header, "decode_nlas": _undecoded}


def genl_class(table: AttrSet) -> type[Any]:
    """A message of a generic netlink family with these attributes."""
    return type(f"gutless_{table.name}", (genlmsg,), _top(table, 4))


def message_class(table: AttrSet, fields: tuple[tuple[str, str], ...]) -> type[Any]:
    """A message of any other family: the fields of its header, then these attributes."""
    size = struct.calcsize("=" + "".join(form for _, form in fields))
    return type(f"route_{table.name}", (nlmsg,), {"fields": fields, **_top(table, size)})


def _nested(value: Any) -> Any:
    return {"attrs": [[n, _nested(v)] for n, v in value]} if isinstance(value, list) else value


def to_message(kind: type[Any], attrs: Iterable[tuple[str, Any]], **fields: int) -> Message:
    """A message of a class of ours, from its fields and attributes."""
    message = kind()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = [[name, _nested(value)] for name, value in attrs]
    return message


def plain(message: Message) -> Attrs:
    """The attributes of an answer, without those that its table does not know."""
    start = message.offset + 16 + message.table_offset
    return decode(message.table, message.data, start, message.offset + message.length)


class _Listener(Marshal):  # type: ignore[misc]
    """pyroute2's parser, which lets the octets be seen first."""

    hear: Callable[[bytes], None]

    def parse(self, data: bytes, *args: Any, **kwargs: Any) -> Any:
        # one version returns a generator: do not wait for its first step
        self.hear(bytes(data))
        return super().parse(data, *args, **kwargs)


class Door:
    """A netlink socket: ``request`` sends one message and returns the answers.

    It belongs to the thread that opened it, and to the network namespace in
    which that thread stood.
    """

    def __init__(self, protocol: int) -> None:
        self._table: AttrSet | None = None
        self._family_header = 4
        self._heard: list[tuple[int, KernelRefusal]] = []
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        for option in (_NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, buffer, _BUFFER)
        self.marshal = _Listener()
        self.marshal.hear = self._hear

    def close(self) -> None:
        self._socket.close()

    def _hear(self, data: bytes) -> None:
        self._heard.extend(refusals(data, self._table, self._family_header))

    def speak(self, number: int, kind: type[Any]) -> None:
        """Answers of that message type are of this class."""
        self.marshal.msg_map[number] = kind

    def plain_socket(self) -> socket.socket:
        """The socket itself, for a reader that waits: a copy that outlives this object."""
        sock = socket.socket(fileno=os.dup(self._socket.fileno()))
        sock.setblocking(False)
        return sock

    def join(self, group: int) -> None:
        """Become a member of a multicast group."""
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def request(
        self, message: Message, number: int, flags: int, table: AttrSet | None = None, family_header: int = 4
    ) -> list[Message]:
        """One request, all its answers. An acknowledgement alone gives an empty list.

        A dump during which the tables changed is asked for again.

        Args:
            message: of a class made by ``genl_class`` or ``message_class``.
            number: the message type.
            flags: REPLY, ACK or DUMP, with others where rtnetlink wants them.
            table: to name the attribute that a refusal points at.
            family_header: octets between the netlink header and the attributes.

        Raises:
            KernelRefusal: the kernel said no.
        """
        self._table, self._family_header = table, family_header
        attrs = message["attrs"]
        for _ in range(_DUMP_TRIES):
            message["attrs"] = attrs
            answers, interrupted = self._once(message, number, flags)
            if not interrupted:
                return answers
        raise KernelRefusal(errno.EAGAIN, "the tables kept changing during the dump")

    def _once(self, message: Message, number: int, flags: int) -> tuple[list[Message], bool]:
        self._heard.clear()
        self._sequence += 1
        header = message["header"]
        header["type"], header["flags"], header["sequence_number"], header["pid"] = number, flags, self._sequence, 0
        message.reset()
        message.encode()
        answers: list[Message] = []
        try:
            self._socket.sendto(message.data, (0, 0))
            while self._more(answers, flags):
                pass
        except OSError as error:
            raise KernelRefusal(error.errno or errno.EIO) from error
        interrupted = False
        for sequence, refusal in self._heard:
            if sequence != self._sequence:
                continue
            if refusal.code != DUMP_INTERRUPTED:
                raise refusal
            interrupted = True
        return answers, interrupted

    def _more(self, answers: list[Message], flags: int) -> bool:
        """Add what one datagram answers to the request; True when that was not all."""
        data, sender = self._socket.recvfrom(_ROOM)
        if sender[0]:
            return True  # not from the kernel: any process may send to a netlink socket
        for answer in self.marshal.parse(data):
            header = answer["header"]
            if header["sequence_number"] != self._sequence:
                continue  # to a request that failed on the way
            if header["type"] in _LAST:
                return False
            answers.append(answer)
            if not header["flags"] & _NLM_F_MULTI and not flags & NLM_F_ACK:
                return False
        return True
