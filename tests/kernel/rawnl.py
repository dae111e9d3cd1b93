# SPDX-License-Identifier: Apache-2.0
"""The family `gutless` octet by octet: requests that the tool's own door would never send.

Numbers come out of the uapi header, so that a renumbering in the module is seen here.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HEADER = Path(__file__).resolve().parents[2] / "kmod/include/uapi/linux/gutless.h"

NETLINK_GENERIC = 16
SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP_INTR = 1, 2, 4, 16
NLM_F_CAPPED, NLM_F_ACK_TLVS, NLM_F_DUMP = 0x100, 0x200, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED = 0x8000
CTRL_CMD_GETFAMILY, CTRL_FAMILY_ID, CTRL_FAMILY_NAME = 3, 1, 2
GENL_ID_CTRL = 16


@cache
def numbers() -> dict[str, int]:
    """Every enumerator of the uapi header by its name without GUTLESS_."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    found: dict[str, int] = {}
    for body in re.findall(r"enum gutless_\w+ \{(.*?)\};", text, re.DOTALL):
        following = 0
        for item in filter(None, (part.strip() for part in body.split(","))):
            name, _, value = (word.strip() for word in item.partition("="))
            if value:
                left, _, right = value.partition("<<")
                following = int(left) << int(right or 0)
            found[name.removeprefix("GUTLESS_")] = following
            following += 1
    return found


def n(name: str) -> int:
    """A number of the uapi header, such as n("A_PORT_PORT")."""
    return numbers()[name]


@cache
def reasons() -> dict[int, str]:
    """Attribute of a port's counter -> "packets", "octets", or the reason of a drop."""
    prefix = "A_RX_"
    return {
        number: name.removeprefix(prefix).removeprefix("DROP_").lower().replace("_", "-")
        for name, number in numbers().items()
        if name.startswith(prefix) and name not in ("A_RX_UNSPEC", "A_RX_PAD")
    }


def attr(kind: int, data: bytes = b"") -> bytes:
    """An attribute, padded."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def u8(name: str, value: int) -> bytes:
    return attr(n(name), struct.pack("=B", value))


def u16(name: str, value: int) -> bytes:
    return attr(n(name), struct.pack("=H", value))


def be16(name: str, value: int) -> bytes:
    return attr(n(name), struct.pack("!H", value))


def u32(name: str, value: int) -> bytes:
    return attr(n(name), struct.pack("=I", value))


def nest(name: str, *inside: bytes) -> bytes:
    return attr(n(name) | NLA_F_NESTED, b"".join(inside))


def split(data: bytes) -> list[tuple[int, bytes]]:
    """Attributes one after another, flags of the type taken off."""
    found = []
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        assert size >= 4, "the kernel sent a broken attribute"
        found.append((kind & 0x3FFF, data[at + 4 : at + size]))
        at += size + -size % 4
    return found


def source(prefix: str, name: str = "A_PORT_SOURCE") -> bytes:
    """A source attribute from `address/length`, with no check of either."""
    address, _, length = prefix.partition("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = "A_SOURCE_V6" if family == socket.AF_INET6 else "A_SOURCE_V4"
    return nest(name, attr(n(kind), socket.inet_pton(family, address)), u8("A_SOURCE_PREFIX_LEN", int(length)))


def key(port: int, family: int = 4, local: str = "", ifindex: int = 0) -> bytes:
    """The attributes that name a port."""
    made = u8("A_PORT_FAMILY", socket.AF_INET6 if family == 6 else socket.AF_INET) + be16("A_PORT_PORT", port)
    if local:
        six = ":" in local
        packed = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, local)
        made += attr(n("A_PORT_LOCAL_V6" if six else "A_PORT_LOCAL_V4"), packed)
    if ifindex:
        made += u32("A_PORT_IFINDEX", ifindex)
    return made


class Refused(OSError):
    """A request was refused: errno, the sentence of the kernel, the offset of the attribute it names."""

    def __init__(self, number: int, sentence: str, offset: int | None, attribute: int | None) -> None:
        super().__init__(number, f"{os.strerror(number)}: {sentence}")
        self.sentence = sentence
        self.offset = offset
        self.attribute = attribute
        """Type of the attribute at the offset in the request, None where none was named."""


@dataclass
class Message:
    """A message of the family: its command, its attributes, the flags of its header."""

    command: int
    attributes: list[tuple[int, bytes]]
    flags: int

    def first(self, name: str) -> bytes | None:
        return next((data for kind, data in self.attributes if kind == n(name)), None)


class RawNetlink:
    """A generic netlink socket of the namespace of the thread that makes it.

    ``room``: octets a read offers, by which the kernel chooses the size of a dump's parts.
    """

    def __init__(self, room: int = 1 << 18) -> None:
        self.room = room
        self.over = True
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            self.socket.setsockopt(SOL_NETLINK, option, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((0, 0))
        self.socket.settimeout(30)
        self.sequence = 0
        reply = self.ask(CTRL_CMD_GETFAMILY, attr(CTRL_FAMILY_NAME, b"gutless\0"), family=GENL_ID_CTRL)
        self.family = next(struct.unpack("=H", d)[0] for kind, d in reply[0].attributes if kind == CTRL_FAMILY_ID)

    def close(self) -> None:
        self.socket.close()

    def send(self, command: int, body: bytes, flags: int, family: int | None = None) -> bytes:
        self.sequence += 1
        family = self.family if family is None else family
        request = struct.pack("=IHHII", 20 + len(body), family, NLM_F_REQUEST | flags, self.sequence, 0)
        request += struct.pack("=BBH", command, 1, 0) + body
        self.socket.send(request)
        return request

    def parts(self, request: bytes) -> list[Message]:
        """One read of the answer to the request. Raises Refused; an empty list: it is over."""
        found = []
        data = self.socket.recv(self.room)
        at = 0
        while at < len(data):
            size, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data, at)
            body = data[at + 16 : at + size]
            at += size + -size % 4
            if sequence != self.sequence:
                continue
            if kind == NLMSG_DONE:
                (status,) = struct.unpack_from("=i", body)
                if status < 0:
                    raise self._refused(-status, body[4:] if flags & NLM_F_ACK_TLVS else b"", request)
                self.over = True
                continue
            if kind == NLMSG_ERROR:
                (status,) = struct.unpack_from("=i", body)
                if status:
                    # capped: the header of the request alone comes back
                    echoed = 16 if flags & NLM_F_CAPPED else struct.unpack_from("=I", body, 4)[0]
                    tlvs = body[4 + echoed + -echoed % 4 :] if flags & NLM_F_ACK_TLVS else b""
                    raise self._refused(-status, tlvs, request)
                self.over = True
                continue
            found.append(Message(body[0], split(body[4:]), flags))
        return found

    @staticmethod
    def _refused(number: int, tlvs: bytes, request: bytes) -> Refused:
        said = dict(split(tlvs))
        sentence = said.get(1, b"").rstrip(b"\0").decode()
        offset = struct.unpack("=I", said[2])[0] if 2 in said else None
        attribute = None
        if offset is not None:
            attribute = struct.unpack_from("=H", request, offset + 2)[0] & 0x3FFF
        return Refused(number, sentence, offset, attribute)

    def ask(self, command: int, body: bytes = b"", *, flags: int = 0, family: int | None = None) -> list[Message]:
        """Send a request and take all of its answer. Raises Refused."""
        request = self.send(command, body, flags | (0 if flags & NLM_F_DUMP == NLM_F_DUMP else NLM_F_ACK), family)
        self.over = False
        found: list[Message] = []
        while not self.over:
            found += self.parts(request)
        return found

    def do(self, command: str, *body: bytes) -> list[Message]:
        """A request by the name of its command: do("PORT_DEL", key(6080))."""
        return self.ask(n("CMD_" + command), b"".join(body))

    def dump(self, command: str, *body: bytes) -> list[Message]:
        return self.ask(n("CMD_" + command), b"".join(body), flags=NLM_F_DUMP)

    def counters(self, port: bytes) -> dict[str, int]:
        """The counters of a port, named by its key's attributes."""
        try:
            found = self.do("PORT_GET", port)
        except Refused as error:
            if error.errno != errno.EMSGSIZE:
                raise
            found = self.dump("PORT_GET", port)
        stats = found[0].first("A_PORT_STATS")
        assert stats is not None
        names = reasons()
        return {names[kind]: struct.unpack("=Q", data)[0] for kind, data in split(stats) if kind in names}

    def state(self) -> list[tuple[int, list[tuple[int, bytes]]]]:
        """Everything that can be configured, as it is in the dumps, without counters."""
        ports = [(m, n("A_PORT_STATS")) for m in self.dump("PORT_GET")]
        profiles = [(m, n("A_PROFILE_STATS")) for m in self.dump("PROFILE_GET")]
        devices = [(m, n("A_DEVICE_STATS")) for m in self.dump("DEVICE_GET")]
        return [
            (message.command, sorted(a for a in message.attributes if a[0] != stats))
            for message, stats in ports + profiles + devices
        ]
