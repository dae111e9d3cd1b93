# SPDX-License-Identifier: Apache-2.0
"""Requests and answers over a netlink socket of pyroute2.

Written for what pyroute2's synchronous sockets have in common from 0.7.2 on.
They are used unbound (the kernel then picks the port number itself), in one
thread, and the octets of every answer are looked at before pyroute2 parses
them: for the refusals (see extack.py) and for dumps that were interrupted.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, genlmsg, nla, nlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nlsocket import Marshal, NetlinkSocket

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
        self._socket = NetlinkSocket(family=protocol, ext_ack=True, strict_check=True)
        self.marshal = _Listener()
        self.marshal.hear = self._hear
        if hasattr(self._socket, "set_marshal"):
            self._socket.set_marshal(self.marshal)
        else:
            self._socket.marshal = self.marshal

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
        answers: list[Message] = []
        failed: NetlinkError | None = None
        try:
            # extend keeps what came before an exception
            answers.extend(self._socket.nlm_request(message, msg_type=number, msg_flags=flags))
        except NetlinkError as error:
            # 0.7.2 takes a sentence without an errno, a warning, for an error; and
            # has a class of errors of its own, code -1, for interrupted dumps
            failed = error if error.code > 0 else None
        except OSError as error:
            raise KernelRefusal(error.errno or errno.EIO) from error
        interrupted = any(refusal.code == DUMP_INTERRUPTED for _, refusal in self._heard)
        for _, refusal in self._heard:
            if refusal.code != DUMP_INTERRUPTED:
                raise refusal
        if failed is not None:
            raise KernelRefusal(failed.code)
        # type 2 is the acknowledgement, 3 the end of a dump
        return [a for a in answers if a["header"]["type"] not in (2, 3)], interrupted
