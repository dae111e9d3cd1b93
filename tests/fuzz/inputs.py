# SPDX-License-Identifier: Apache-2.0
"""Inputs of the fuzzer of the formats: two octets that say what the port is, and a payload of UDP (wire.c has the same).

An input that was worth keeping is a text file: lines with `#` that say why, then its octets in hex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gutctl.encap import Cookie, GueFields

FORMATS = ("gue0", "bare", "gutless")
USUAL = frozenset({4, 41, 47, 143})
ALL = frozenset(range(1, 256))
HERE = Path(__file__).resolve().parent
REGRESSIONS = HERE / "regressions"
KINDS = ("wire", "csum")
NO_FIELDS = GueFields()
REQUIRED = GueFields(7, True, Cookie.of(bytes(range(1, 9))))
ENDS = 1
"""The sum of addresses and ports."""


@dataclass(frozen=True)
class Setting:
    """A port, and whether the datagram had a UDP checksum."""

    accept: frozenset[str]
    inner: frozenset[int]
    fou: int | None
    summed: bool
    known: bool = False
    """There is a rule for each type of option, and none drops."""
    gue: GueFields = NO_FIELDS
    """It requires these fields of GUE."""


@cache
def setting(first: int, second: int) -> Setting:
    """What the first two octets of an input say."""
    summed = bool(first & 8)
    if not first & 7:
        fou = second or 4
        return Setting(frozenset({"fou"}), frozenset({fou}), fou, summed)
    accept = frozenset(name for bit, name in enumerate(FORMATS) if first >> bit & 1)
    more = {second} - {0}
    inner = (USUAL, ALL, USUAL | more, frozenset(more))[first >> 4 & 3]
    return Setting(accept, inner, None, summed, bool(first & 0x40), REQUIRED if first & 0x80 else NO_FIELDS)


def wire(
    payload: bytes,
    *,
    fou: int | None = None,
    accept: tuple[str, ...] = FORMATS,
    inner: int = 0,
    summed: bool = True,
    gue: bool = False,
    known: bool = False,
) -> bytes:
    """An input for a port: FOU of a protocol, or of formats that takes the usual inner protocols (and `inner`)."""
    first = 8 if summed else 0
    if fou is not None:
        return bytes((first, fou)) + payload
    first |= sum(1 << FORMATS.index(name) for name in accept) | (0x40 if known else 0) | (0x80 if gue else 0)
    return bytes((first | (0x20 if inner else 0), inner)) + payload


def read(path: Path) -> bytes:
    """The octets of a text file. Raises ValueError, naming the file and what is wrong."""
    lines = [line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    try:
        return bytes.fromhex("".join(lines))
    except ValueError as error:
        raise ValueError(f"{path}: not hex: {error}") from None


def write(path: Path, data: bytes, *why: str) -> None:
    """Keep an input, with what is to be said of it."""
    text = data.hex(" ", 4)
    rows = [text[at : at + 72] for at in range(0, len(text), 72)]
    path.write_text("".join(f"# {line}\n" for line in why) + "\n".join(rows) + "\n", encoding="utf-8")


def kept(kind: str) -> list[Path]:
    """The regressions of a target."""
    return sorted((REGRESSIONS / kind).glob("*.hex"))
