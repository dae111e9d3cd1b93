# SPDX-License-Identifier: Apache-2.0
"""Keys of option auth as netlink attributes, packets signed by gutctl, and what a port with keys makes of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence

import rawnl
from inject import Bench, Target, inner

from gutctl._wire.auth import Key, Replay, sign, verify
from gutctl._wire.options import AUTH, SESSION, Option
from gutctl.encap import Control, Dropped, Gutless, ReceiveRule, encode, pad, receive_verdict

NAME = "/etc/gutctl/west.key"
BEHIND_AUTH = {"protocol", "inner", "option-refused", "option-value", "option-missing"}
"""Reasons that are looked for once it is known who sent the packet."""
_numbers = itertools.count()


def secret(which: int) -> bytes:
    """A secret that stands nowhere by chance."""
    return bytes((0xC0 + which, *(37 * n + which & 0xFF for n in range(31))))


KEY, OTHER = Key.of(7, secret(1), NAME), Key.of(8, secret(2), direction=1)


def attribute(key: Key, *, name: str = "A_PORT_KEY") -> bytes:
    """A key as the attribute that asks for it."""
    return asked(key.id, key.secret, key.name or None, key.direction, name=name)


def asked(
    number: int | None, octets: bytes | None, called: str | None = None, direction: int | None = None, *, name: str = "A_PORT_KEY"
) -> bytes:
    """The same of parts that may be missing, with no check of them."""
    inside = b"" if number is None else rawnl.u16("A_KEY_ID", number)
    if octets is not None:
        inside += rawnl.attr(rawnl.n("A_KEY_SECRET"), octets)
    if called is not None:
        inside += rawnl.attr(rawnl.n("A_KEY_NAME"), called.encode() + b"\0")
    if direction is not None:
        inside += rawnl.u8("A_KEY_DIRECTION", direction)
    return rawnl.nest(name, inside)


def require(on: int = 1) -> bytes:
    """The attribute that demands option auth, or does no longer."""
    return rawnl.u8("A_PORT_REQUIRE_AUTH", on)


def next_number() -> int:
    """A sequence number as a sender takes it: the time, and never one that was taken."""
    return time.time_ns() + next(_numbers)


def blank(number: int = 0) -> Option:
    """Option auth before it is filled in."""
    return Option(AUTH, number.to_bytes(2, "big") + bytes(24))


def unsigned(*options: Option, version: int = 4, data: bytes = b"payload") -> bytes:
    """A GUT-less header with these options, padded, around a packet that reaches the sink."""
    return encode(Gutless({4: 4, 6: 41}[version], pad(options)), inner(version, data))


def signed(key: Key, *options: Option, sequence: int | None = None, version: int = 4, data: bytes = b"payload") -> bytes:
    """The same, signed; behind the options stands option auth."""
    return sign(unsigned(*options, blank(), version=version, data=data), key, next_number() if sequence is None else sequence)


class Judge:
    """A port with keys, and what gutctl remembers of what came to it."""

    def __init__(self, bench: Bench, family: int, *keys: Key, required: bool = True) -> None:
        self.bench, self.keys, self.required = bench, list(keys), required
        self.seen: dict[int, Replay] = {}
        self.rules: tuple[ReceiveRule, ...] = ()
        """Of the port, for options."""
        self.target: Target = bench.open(family, *map(attribute, keys), require(int(required)))

    def expect(self, payload: bytes) -> str:
        """The counter that a packet goes to, by gutctl; it is remembered."""
        said = receive_verdict(payload, rules=(ReceiveRule(AUTH), ReceiveRule(SESSION), *self.rules))
        reason = said.reason if isinstance(said, Dropped) else said.counter if isinstance(said, Control) else "packets"
        # what becomes of a control message of GUT-less as well
        behind = reason in BEHIND_AUTH or (reason == "control" and payload[0] >> 6 == 2)
        if isinstance(said, Dropped) and not behind:
            return reason
        unproven = verify(payload, self.keys, required=self.required, seen=self.seen, now=time.time_ns())
        return unproven or reason

    def send(self, payload: bytes) -> dict[str, int]:
        """Send one; what it was counted as."""
        before = self.bench.counters(self.target)
        self.bench.send(self.target, payload)
        return self.bench.change(self.target, before, 1, 10)

    def each(self, payloads: Iterable[bytes]) -> set[str]:
        """Send all one by one, each to be counted as gutctl says. Returns the counters there were."""
        found = set()
        for payload in payloads:
            wanted = self.expect(payload)
            assert self.send(payload) == {wanted: 1}, payload.hex()
            found.add(wanted)
        return found

    def all(self, payloads: Sequence[bytes]) -> dict[str, int]:
        """Send all in their order, and compare what they were counted as. Returns that."""
        wanted: dict[str, int] = {}
        for payload in payloads:
            reason = self.expect(payload)
            wanted[reason] = wanted.get(reason, 0) + 1
        before = self.bench.counters(self.target)
        for at, payload in enumerate(payloads):
            self.bench.send(self.target, payload)
            if at % 64 == 63:
                self.bench.drain()
                self.bench.change(self.target, before, at + 1, 20)
        assert self.bench.change(self.target, before, len(payloads), 20) == wanted
        return wanted

    def set(self, *body: bytes) -> None:
        """PORT_SET."""
        self.bench.netlink.do("PORT_SET", self.target.key, *body)

    def shut(self) -> None:
        self.bench.shut(self.target)
