# SPDX-License-Identifier: Apache-2.0
"""Option auth: keys, tags, and which packets came already (docs/protocol.md, section 7.4)."""

from __future__ import annotations

import hashlib
import hmac
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Self

from gutctl._wire.error import EncapError, need_int, need_octets
from gutctl._wire.optiontype import Option

__all__ = [
    "SECRET_MAX",
    "SECRET_MIN",
    "SKEW_NS",
    "WINDOW",
    "Key",
    "KeyedOption",
    "Replay",
    "Unproven",
    "auth_of",
    "key_of",
    "sign",
    "verify",
]

SECRET_MIN, SECRET_MAX = 16, 64
"""Octets of a secret."""
WINDOW = 1024
"""Packets of a key that a receiver remembers."""
SKEW_NS = 300 * 10**9
"""How far a number may be from the clock of a receiver that remembers fewer."""

_AUTH, _SESSION, _MUTABLE, _AUTH_OCTETS, _TAG, _TAG_OCTETS = 0x5B, 0x5A, 0x20, 26, 10, 16

Unproven = Literal["auth-missing", "auth-key", "auth-tag", "auth-replay", "auth-time"]
"""Why a packet is dropped, as its counter is named."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, of one sender and one direction. Those of one id, secret and direction are equal."""

    id: int
    """0-65535, as in the option."""
    fingerprint: str
    """The first 8 octets of the secret's SHA-256, in hex."""
    name: str = field(default="", compare=False)
    """The file that it was from."""
    direction: int = 0
    """0 or 1: of the two directions of a pair whose ends have one secret, this one's."""
    secret: bytes = field(default=b"", compare=False, repr=False)
    """Empty where it is not known: the kernel does not tell it."""

    @classmethod
    def of(cls, number: int, secret: bytes, name: str = "", direction: int = 0) -> Self:
        """A key by its secret. Raises EncapError."""
        need_int("the key's id", number, 0, 0xFFFF)
        need_int("the direction", direction, 0, 1)
        need_octets("the secret", secret)
        if not SECRET_MIN <= len(secret) <= SECRET_MAX:
            raise EncapError(f"a secret of {len(secret)} octets", hint=f"{SECRET_MIN} to {SECRET_MAX}; 32 are usual")
        return cls(number, hashlib.sha256(secret).digest()[:8].hex(), name, direction, secret)


@dataclass(frozen=True, slots=True)
class KeyedOption(Option):
    """Option auth as a profile has it: not filled in yet, and the key that will."""

    key: Key = field(kw_only=True)

    @classmethod
    def of(cls, key: Key) -> Self:
        """The option that names a key."""
        return cls(_AUTH, key.id.to_bytes(2, "big") + bytes(_AUTH_OCTETS - 2), key=key)


def key_of(options: Iterable[Option]) -> Key | None:
    """The key among options, None where they have none."""
    return next((option.key for option in options if isinstance(option, KeyedOption)), None)


def auth_of(payload: bytes) -> int | None:
    """Where in a UDP payload the data of option auth is; None: there is none, or no header of GUT-less."""
    return _cover(payload, 0)[0]


def _cover(payload: bytes, direction: int) -> tuple[int | None, bytes]:
    """Where option auth is, and all that the tag is of."""
    size = 4 + 4 * (payload[0] & 0x1F) if payload else 0
    if not payload or payload[0] >> 6 != 2 or len(payload) < size:
        return None, b""
    head = bytearray(payload[:size])
    head[2:4] = bytes(2)
    session, found, at = bytes(8), None, 4
    while at < size:
        kind = payload[at]
        if kind == 0:
            at += 1
            continue
        if at + 2 > size or at + 2 + payload[at + 1] > size:
            break
        start, end = at + 2, at + 2 + payload[at + 1]
        if kind == _AUTH and end - start == _AUTH_OCTETS:
            found = start
            head[start + _TAG : end] = bytes(_TAG_OCTETS)
        elif kind == _SESSION and end - start == len(session):
            session = payload[start:end]
        elif kind & _MUTABLE:
            head[start:end] = bytes(end - start)
        at = end
    return found, bytes((direction,)) + session + bytes(head) + payload[size:]


def _tag(secret: bytes, covered: bytes) -> bytes:
    return hmac.digest(secret, covered, "sha256")[:_TAG_OCTETS]


def sign(payload: bytes, key: Key, sequence: int) -> bytes:
    """A UDP payload of GUT-less with the option auth that it has filled in: key id, sequence and tag.

    Raises EncapError where it has none.
    """
    need_int("the sequence", sequence, 0, 2**64 - 1)
    at = auth_of(payload)
    if at is None:
        raise EncapError("there is no option auth to fill in")
    signed = payload[:at] + key.id.to_bytes(2, "big") + sequence.to_bytes(8, "big") + payload[at + _TAG :]
    tag = _tag(key.secret, _cover(signed, key.direction)[1])
    return signed[: at + _TAG] + tag + signed[at + _AUTH_OCTETS :]


class Replay:
    """The numbers that came by a key."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def test(self, sequence: int, now: int) -> Unproven | None:
        """May a packet pass? ``now``: nanoseconds of CLOCK_REALTIME."""
        place = bisect_left(self.seen, sequence)
        if place < len(self.seen) and self.seen[place] == sequence:
            return "auth-replay"
        if place:
            return None
        if len(self.seen) == WINDOW:
            return "auth-replay"
        return None if abs(sequence - now) <= SKEW_NS else "auth-time"

    def add(self, sequence: int) -> None:
        """Remember one that passed."""
        insort(self.seen, sequence)
        del self.seen[:-WINDOW]


def verify(
    payload: bytes, keys: Iterable[Key], *, required: bool = False, seen: dict[int, Replay] | None = None, now: int = 0
) -> Unproven | None:
    """Judge a UDP payload, whose header is in order, as a port with these keys does.

    ``seen``: by key id, what came before; it is told of the packet when that passes. Without it only the tag counts.
    ``now``: nanoseconds of CLOCK_REALTIME.

    Returns None where it passes, else the reason.
    """
    at = auth_of(payload)
    if at is None:
        return "auth-missing" if required else None
    number, sequence = int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + _TAG], "big")
    key = next((one for one in keys if one.id == number), None)
    if key is None:
        return "auth-key"
    replay = None if seen is None else seen.setdefault(number, Replay())
    if replay is not None and (reason := replay.test(sequence, now)):
        return reason
    tag = payload[at + _TAG : at + _AUTH_OCTETS]
    if not hmac.compare_digest(tag, _tag(key.secret, _cover(payload, key.direction)[1])):
        return "auth-tag"
    if replay is not None:
        replay.add(sequence)
    return None
