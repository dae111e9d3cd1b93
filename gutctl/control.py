# SPDX-License-Identifier: Apache-2.0
"""Asking another end: echo requests from a receiving port, and what comes back (docs/protocol.md, section 8).

>>> with Kernel() as kernel, Ping(kernel, PortKey(4, 6080), IPv4Address("192.0.2.1"), 6080) as asked:  # doctest: +SKIP
...     for one in asked.run(count=3):
...         print(one)
...     print(asked.summary())
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from gutctl._wire.control import ECHO_REPLY, REPORT, Echo, Report, decode_control
from gutctl._wire.error import EncapError
from gutctl._wire.options import OBSERVED, ObservedAddress, Option, Understood, decode_options, option_value, pad
from gutctl.door import Door
from gutctl.errors import GutctlError
from gutctl.model import Address, ControlMessage, PortKey

__all__ = ["DATA_MAX", "NoReply", "Ping", "Reply", "Reported", "Summary", "Unheard"]

DATA_DEFAULT = 56
"""Octets of data in a request."""
DATA_MAX = 16_380
"""The kernel sends no more for us."""
_REMEMBERED = 4096
"""Requests to which a late reply, or another one, is still known."""
_OBSERVED_ROOM = Option(OBSERVED, bytes(19))
_AREA = b"".join(option.encode() for option in pad([Understood().option(), _OBSERVED_ROOM]))


@dataclass(frozen=True, slots=True)
class Reply:
    """An echo reply."""

    sequence: int
    """Of its request, from 1."""
    round_trip: float
    """Seconds from the kernel's sending to the kernel's receiving."""
    octets: int
    """Of data."""
    understood: frozenset[int] | None
    """Types of options that the peer acts on; None: it did not say."""
    observed: tuple[Address, int] | None
    """Address and port from which the peer saw us send; None: it did not say."""
    duplicate: bool = False
    """A reply to that request came before."""
    damaged: bool = False
    """The data is not what was sent."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """Nothing came back within the time given. A reply may still come."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Reported:
    """The peer dropped a packet for an option that it does not know, and says so."""

    code: int
    pointer: int
    """Offset of the option's type in the UDP payload."""
    quote: bytes
    """How the payload began."""

    @property
    def option(self) -> int | None:
        """Type of the option, None where the quote does not reach it."""
        return self.quote[self.pointer] if self.pointer < len(self.quote) else None


@dataclass(frozen=True, slots=True)
class Unheard:
    """Control messages came faster than they were read, and some are lost."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of all requests so far. Times in seconds; None: nothing came."""

    sent: int
    received: int
    """Requests that were answered."""
    duplicates: int
    lost: float
    """The part of those sent that was not answered, 0 to 1."""
    minimum: float | None
    average: float | None
    maximum: float | None
    understood: frozenset[int] | None
    """Types of options that the peer acts on, as it said last."""
    observed: tuple[Address, int] | None
    """How the peer sees us, as it said last."""


@dataclass(slots=True)
class _Request:
    sent_ns: int
    deadline: float
    data: bytes
    answers: int = 0
    missed: bool = False


@dataclass(slots=True)
class _Seen:
    sent: int = 0
    received: int = 0
    total: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    duplicates: int = 0
    understood: frozenset[int] | None = None
    observed: tuple[Address, int] | None = None


class Ping:
    """Echo requests from one of our ports to a peer's.

    Args:
        kernel: the door of the namespace the port is in.
        key: the port; it has to let the peer in, or no reply could.
        peer, peer_port: whom to ask.
        ifindex: the device by which a link-local peer is reached.

    Raises:
        UnsupportedError: the module is missing, or too old.
        NotPermittedError: without CAP_NET_ADMIN.
    """

    def __init__(self, kernel: Door, key: PortKey, peer: Address, peer_port: int, *, ifindex: int = 0) -> None:
        self._kernel = kernel
        self._key = key
        self._peer = peer
        self._peer_port = peer_port
        self._ifindex = ifindex
        # another one may ask from the same port
        self._id = int.from_bytes(os.urandom(2), "big")
        self._requests: dict[int, _Request] = {}
        self._seen = _Seen()
        self._stream = kernel.control()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more. Idempotent."""
        self._stream.close()

    def run(
        self, count: int | None = None, *, interval: float = 1.0, data: int = DATA_DEFAULT, timeout: float = 2.0
    ) -> Iterator[Reply | NoReply | Reported | Unheard]:
        """Ask, and yield what comes as it comes; it ends when this object is closed, and at a KeyboardInterrupt.

        Args:
            count: so many times; None: until the caller has enough.
            interval: seconds from one request to the next.
            data: octets in each, 0 to DATA_MAX.
            timeout: seconds after which a request counts as not answered.

        Raises:
            NotFoundError: the port is gone, or there is no way to the peer.
            GutctlError: ``data`` is too much.
        """
        if not 0 <= data <= DATA_MAX:
            raise GutctlError(f"{data} octets of data", f"0 to {DATA_MAX}")
        following = time.monotonic()
        last = None if count is None else self._seen.sent + count
        while True:
            now = time.monotonic()
            more = last is None or self._seen.sent < last
            if more and now >= following:
                self._ask(data, now + timeout)
                following = max(following + interval, now)
                continue
            for sequence, request in list(self._requests.items()):
                if not request.answers and not request.missed and now >= request.deadline:
                    request.missed = True
                    yield NoReply(sequence)
            open_ = [one.deadline for one in self._requests.values() if not one.answers and not one.missed]
            if not more and not open_:
                return
            moment = min([*open_, *([following] if more else [])])
            message = self._stream.read(max(0.0, moment - time.monotonic()))
            if message is None and self._stream.closed:
                return
            if isinstance(message, ControlMessage):
                if found := self._take(message):
                    yield found
            elif message is not None:
                yield Unheard()

    def _ask(self, octets: int, deadline: float) -> None:
        sequence = self._seen.sent + 1
        pattern = struct.pack("!IQ", sequence, time.monotonic_ns()) + bytes(range(256)) * (octets // 256 + 1)
        data = pattern[:octets]
        body = Echo(self._id, sequence & 0xFFFF, data).encode()
        # its time is the kernel's: what came back sooner than this returns is not lost
        sent = self._kernel.echo(self._key, self._peer, self._peer_port, body, _AREA, ifindex=self._ifindex)
        self._requests[sequence] = _Request(sent, deadline, data)
        self._seen.sent = sequence
        self._requests.pop(sequence - _REMEMBERED, None)

    def _take(self, message: ControlMessage) -> Reply | Reported | None:
        """What a message means to us, None where it is somebody else's."""
        if (message.port, message.peer) != (self._key, self._peer):
            return None
        try:
            body = decode_control(message.type, message.body)
        except EncapError:
            return None
        if isinstance(body, Report) and message.type == REPORT:
            return Reported(body.code, body.pointer, body.quote)
        if not isinstance(body, Echo) or message.type != ECHO_REPLY or body.id != self._id:
            return None
        # the sequence has 16 bits: the latest request with those
        sequence = self._seen.sent - (self._seen.sent - body.sequence & 0xFFFF)
        request = self._requests.get(sequence)
        return self._answered(sequence, request, body.data, message) if request else None

    def _answered(self, sequence: int, request: _Request, data: bytes, message: ControlMessage) -> Reply:
        request.answers += 1
        seen, took = self._seen, max(0, message.time_ns - request.sent_ns) / 1e9
        understood, observed = _told(message.options)
        if request.answers > 1:
            seen.duplicates += 1
        else:
            seen.received += 1
            seen.total += took
            seen.minimum = took if seen.minimum is None else min(seen.minimum, took)
            seen.maximum = took if seen.maximum is None else max(seen.maximum, took)
        seen.understood = seen.understood if understood is None else understood
        seen.observed = observed or seen.observed
        return Reply(sequence, took, len(data), understood, observed, request.answers > 1, data != request.data)

    def summary(self) -> Summary:
        """What came of it so far."""
        seen = self._seen
        return Summary(
            sent=seen.sent,
            received=seen.received,
            duplicates=seen.duplicates,
            lost=(seen.sent - seen.received) / seen.sent if seen.sent else 0.0,
            minimum=seen.minimum,
            average=seen.total / seen.received if seen.received else None,
            maximum=seen.maximum,
            understood=seen.understood,
            observed=seen.observed,
        )


def _told(area: bytes) -> tuple[frozenset[int] | None, tuple[Address, int] | None]:
    """What a reply's options say: types understood, our address and port."""
    understood: frozenset[int] | None = None
    observed: tuple[Address, int] | None = None
    try:
        options = decode_options(area)
    except EncapError:
        return None, None
    for option in options:
        try:
            value = option_value(option)
        except EncapError:
            continue
        # one that is all zero is the question come back: the peer knows nothing of it
        if isinstance(value, Understood) and value.types:
            understood = value.types
        elif isinstance(value, ObservedAddress):
            observed = (value.address, value.port)
    return understood, observed
