# SPDX-License-Identifier: Apache-2.0
"""Messages of messages.py put to the module, inside a guest; every one must be answered, and what is told must be so.

Beside the answers a ledger is kept of what the module has acknowledged. Now and then, and at the end, the dumps are
compared with it, and everything is taken away again.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import rawnl
from messages import DUMP, Maker, Message, Spec
from rawnl import NLMSG_DONE, NLMSG_ERROR, RawNetlink, n, split

BATCH = 32
#: Batches between two looks at the whole; more ports than MANY are taken away then.
LOOK, MANY = 16, 60
ROOM = 1 << 18
BUFFER = 1 << 24
SO_RCVBUFFORCE = 33
CTRL_MCAST_GROUPS, GROUP_NAME, GROUP_ID = 7, 1, 2
ADD_MEMBERSHIP = 1
PortKey = tuple[int, bytes, bytes, int]


class Wrong(AssertionError):
    """The module answered as it must not, or not at all."""


@dataclass
class Answer:
    """To one message."""

    status: int = 0
    ended: bool = False
    replies: list[list[tuple[int, bytes]]] = field(default_factory=list)


def words(message: Message) -> str:
    """A message, for people to repeat."""
    return f"{message.operation.name} (command {message.command}, flags 0x{message.flags:x}): {message.body.hex()}"


def port_key(attributes: list[tuple[int, bytes]]) -> PortKey:
    """What names a port; of an attribute that stands twice the last counts."""
    found = dict(attributes)
    local = found.get(n("A_PORT_LOCAL_V4")) or found.get(n("A_PORT_LOCAL_V6")) or b""
    return (
        found.get(n("A_PORT_FAMILY"), b"\2")[0],
        found[n("A_PORT_PORT")],
        local if any(local) else b"",
        struct.unpack("=I", found.get(n("A_PORT_IFINDEX"), bytes(4)))[0],
    )


class Ledger:
    """What the module has by what it acknowledged."""

    def __init__(self) -> None:
        self.ports: set[PortKey] = set()
        self.profiles: set[bytes] = set()
        self.devices: set[bytes] = set()
        """Those that do something on the path."""
        self.added = 0

    def note(self, message: Message, answer: Answer) -> None:
        """Take an acknowledged request into account. Raises Wrong where it cannot have been done."""
        if answer.status or message.flags & DUMP == DUMP:
            return
        command = message.command
        if command in (n("CMD_PORT_ADD"), n("CMD_PORT_DEL"), n("CMD_PORT_SET")):
            key = port_key(split(message.body))
            if (key in self.ports) == (command == n("CMD_PORT_ADD")):
                raise Wrong(f"acknowledged, but the port was {'there' if key in self.ports else 'not there'}: {words(message)}")
            if command == n("CMD_PORT_ADD"):
                self.ports.add(key)
                self.added += 1
            elif command == n("CMD_PORT_DEL"):
                self.ports.remove(key)
        elif command == n("CMD_PROFILE_ADD"):
            numbers = [dict(reply).get(n("A_PROFILE_NUMBER")) for reply in answer.replies]
            if len(numbers) != 1 or not numbers[0] or numbers[0] in self.profiles:
                raise Wrong(f"a profile was made, and the reply has the numbers {numbers}: {words(message)}")
            self.profiles.add(numbers[0])
        elif command == n("CMD_ECHO"):
            if port_key(split(message.body)) not in self.ports:
                raise Wrong(f"an echo request went from a port that is not there: {words(message)}")
        elif command in (n("CMD_PROFILE_DEL"), n("CMD_PROFILE_SET")):
            number = dict(split(message.body))[n("A_PROFILE_NUMBER")]
            if number not in self.profiles:
                raise Wrong(f"acknowledged, but there was no such profile: {words(message)}")
            if command == n("CMD_PROFILE_DEL"):
                self.profiles.remove(number)
        elif command == n("CMD_DEVICE_SET"):
            self.note_device(message.body)


    def note_device(self, body: bytes) -> None:
        """A device was told: what is absent stays."""
        said = dict(split(body))
        if any(said.get(n("A_DEVICE_ONPATH"), b"")):
            self.devices.add(said[n("A_DEVICE_IFINDEX")])
        elif n("A_DEVICE_ONPATH") in said:
            self.devices.discard(said[n("A_DEVICE_IFINDEX")])


class Asker:
    """Sends batches and matches the answers."""

    def __init__(self) -> None:
        self.netlink = RawNetlink(ROOM)
        self.netlink.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.ledger = Ledger()
        self.answers: Counter[str] = Counter()
        self.events = self._events()
        self.told = 0

    def _events(self) -> socket.socket:
        reply = self.netlink.ask(
            rawnl.CTRL_CMD_GETFAMILY, rawnl.attr(rawnl.CTRL_FAMILY_NAME, b"gutless\0"), family=rawnl.GENL_ID_CTRL
        )
        groups = dict(reply[0].attributes)[CTRL_MCAST_GROUPS]
        numbers = {}
        for _, group in split(groups):
            one = dict(split(group))
            numbers[one[GROUP_NAME].rstrip(b"\0")] = struct.unpack("=I", one[GROUP_ID])[0]
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, rawnl.NETLINK_GENERIC)
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        made.bind((0, 0))
        made.setsockopt(rawnl.SOL_NETLINK, ADD_MEMBERSHIP, numbers[b"events"])
        made.setblocking(False)
        return made

    def close(self) -> None:
        self.events.close()
        self.netlink.close()

    def put(self, messages: list[Message]) -> None:
        """Send messages as one, and judge the answers. Raises Wrong."""
        first = self.netlink.sequence + 1
        packed = b""
        for message in messages:
            self.netlink.sequence += 1
            size = 20 + len(message.body)
            head = struct.pack("=IHHII", size, self.netlink.family, 1 | message.flags, self.netlink.sequence, 0)
            packed += head + struct.pack("=BBH", message.command, 1, 0) + message.body + bytes(-size % 4)
        self.netlink.socket.send(packed)
        waiting = {first + at: Answer() for at in range(len(messages))}
        while not all(answer.ended for answer in waiting.values()):
            try:
                self._take(self.netlink.socket.recv(ROOM), waiting)
            except TimeoutError:
                silent = [message for message, answer in zip(messages, waiting.values(), strict=True) if not answer.ended]
                raise Wrong(f"{len(silent)} messages were not answered, the first: {words(silent[0])}") from None
        for message, answer in zip(messages, waiting.values(), strict=True):
            if message.forbidden and not answer.status:
                raise Wrong(f"acknowledged, though it has {message.forbidden}: {words(message)}")
            self.answers[errno.errorcode.get(answer.status, str(answer.status)) if answer.status else "ok"] += 1
            self.ledger.note(message, answer)
        self._listen()

    @staticmethod
    def _take(data: bytes, waiting: dict[int, Answer]) -> None:
        at = 0
        while at < len(data):
            size, kind, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
            body = data[at + 16 : at + size]
            at += size + -size % 4
            answer = waiting.get(sequence)
            if answer is None:
                raise Wrong(f"an answer to a message that was not sent: {sequence}")
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                if answer.ended:
                    raise Wrong(f"message {sequence} was answered twice")
                answer.ended = True
                answer.status = -struct.unpack_from("=i", body)[0]
            else:
                answer.replies.append(split(body[4:]))

    def _listen(self) -> None:
        """Count what the module tells of new ports to whoever listens."""
        while True:
            try:
                data = self.events.recv(ROOM)
            except BlockingIOError:
                break
            self.told += struct.unpack_from("=B", data, 16)[0] == n("CMD_PORT_ADD_NTF")
        if self.told != self.ledger.added:
            raise Wrong(f"{self.ledger.added} ports were made, and {self.told} events tell of one")

    def broken(self, maker: Maker) -> None:
        """Messages whose frame is wrong: they need no answer, and the next ones must get theirs."""
        rng = maker.random
        family = self.netlink.family
        for length in (0, 15, 16, 17, 19, 21, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF):
            body = rng.randbytes(rng.choice((0, 4, 12, 64)))
            self.netlink.socket.send(struct.pack("=IHHII", length, family, rng.choice((1, 5, 0x301)), 0, 0) + body)
        self.netlink.socket.send(rng.randbytes(rng.randrange(1, 16)))
        # a dump that nobody reads to its end
        other = RawNetlink(4096)
        other.send(n("CMD_PORT_GET"), b"", DUMP)
        other.close()
        self._drain()

    def _drain(self) -> None:
        self.netlink.socket.setblocking(False)
        try:
            while True:
                self.netlink.socket.recv(ROOM)
        except BlockingIOError:
            pass
        self.netlink.socket.settimeout(30)

    def look(self) -> None:
        """The dumps and the counts say what the ledger says. Raises Wrong."""
        ports = {port_key(message.attributes) for message in self.netlink.dump("PORT_GET")}
        profiles = {message.first("A_PROFILE_NUMBER") for message in self.netlink.dump("PROFILE_GET")}
        devices = {message.first("A_DEVICE_IFINDEX") for message in self.netlink.dump("DEVICE_GET")}
        for name, mine, theirs in (
            ("ports", self.ledger.ports, ports),
            ("profiles", self.ledger.profiles, profiles),
            ("devices", self.ledger.devices, devices),
        ):
            if mine != theirs:
                raise Wrong(f"{name} acknowledged and not there: {mine - theirs}; there and not acknowledged: {theirs - mine}")
        info = self.netlink.do("INFO_GET")[0]
        counts = [struct.unpack("=I", info.first(name) or b"")[0] for name in ("A_INFO_PORTS", "A_INFO_PROFILES")]
        if counts != [len(ports), len(profiles)]:
            raise Wrong(f"INFO_GET counts {counts}, the dumps {len(ports)} and {len(profiles)}")

    def empty(self) -> None:
        """Take everything away, and see that it is gone."""
        for message in self.netlink.dump("PORT_GET"):
            key = [rawnl.attr(kind, data) for kind, data in message.attributes if kind <= n("A_PORT_IFINDEX")]
            if port_key(message.attributes) in self.ledger.ports:
                self.netlink.do("PORT_DEL", *key)
                self.ledger.ports.remove(port_key(message.attributes))
        for message in self.netlink.dump("PROFILE_GET"):
            number = message.first("A_PROFILE_NUMBER") or b""
            self.netlink.do("PROFILE_DEL", rawnl.attr(n("A_PROFILE_NUMBER"), number))
            self.ledger.profiles.discard(number)
        for message in self.netlink.dump("DEVICE_GET"):
            ifindex = message.first("A_DEVICE_IFINDEX") or b""
            self.netlink.do("DEVICE_SET", rawnl.attr(n("A_DEVICE_IFINDEX"), ifindex), rawnl.u32("A_DEVICE_ONPATH", 0))
            self.ledger.devices.discard(ifindex)
        self._listen()
        self.look()
        if self.ledger.ports or self.ledger.profiles:
            raise Wrong(f"{len(self.ledger.ports)} ports and {len(self.ledger.profiles)} profiles cannot be taken away")


def batches(maker: Maker, count: int) -> Iterator[list[Message]]:
    """The messages in groups; a dump ends a group, since a socket has one at a time."""
    group: list[Message] = []
    for _ in range(count):
        group.append(maker.message())
        if len(group) == BATCH or group[-1].flags & DUMP == DUMP:
            yield group
            group = []
    if group:
        yield group


def run(seed: int, count: int) -> str:
    """Ask so many times, in the namespace of the calling thread. Returns what the answers were. Raises Wrong."""
    maker = Maker(Spec(), seed)
    asker = Asker()
    forbidden = made = 0
    try:
        for at, group in enumerate(batches(maker, count)):
            forbidden += sum(bool(message.forbidden) for message in group)
            made += len(group)
            try:
                asker.put(group)
                if at % LOOK == 0:
                    asker.broken(maker)
                    asker.look()
                    if len(asker.ledger.ports) > MANY:
                        asker.empty()
            except AssertionError as error:
                raise Wrong(f"after {made} messages: {error}") from error
        asker.empty()
    finally:
        asker.close()
    answers = ", ".join(f"{name} {times:,}" for name, times in asker.answers.most_common())
    return f"{made:,} messages, {forbidden:,} of them forbidden by the specification and refused; answers: {answers}; {asker.told:,} events"
