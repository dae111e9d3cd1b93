# SPDX-License-Identifier: Apache-2.0
"""The module's wire.h, compiled with sanitizers, and gutctl.encap.receive_verdict say the same of every packet.

Two programs written apart from one specification (docs/protocol.md). wire_c.c puts each payload into
memory of exactly its size: a read beyond it ends the program.
"""

from __future__ import annotations

import random
import re
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from compiled import compiled
from gue_cases import GROUPS

from gutctl.encap import Accepted, Dropped, ReceiveRule, receive_verdict

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "kmod/include/uapi/linux/gutless.h"
ACCEPT = {"fou": 1, "gue0": 2, "bare": 4, "gutless": 8}
DEFAULT = (frozenset({"gue0", "bare", "gutless"}), frozenset({4, 41, 47, 143}), 0)
OPTIONS = (0x1B, 0x1C, 0x30, 0x58, 0x5A, 0x5B, 0x9E, 0xDE)
SEED = 20261121


def reasons() -> dict[int, str]:
    """Attribute number -> reason, as the uapi header has them."""
    body = re.search(r"enum gutless_rx_attr \{(.*?)\};", HEADER.read_text(), re.DOTALL)
    assert body
    names = re.findall(r"^\s*(GUTLESS_A_RX_\w+),", body[1], re.MULTILINE)
    prefix = "GUTLESS_A_RX_DROP_"
    return {
        number: name.removeprefix(prefix).lower().replace("_", "-")
        for number, name in enumerate(names)
        if name.startswith(prefix)
    }


@dataclass(frozen=True)
class Case:
    """A payload, and the port and datagram it comes in."""

    payload: bytes
    accept: frozenset[str] = DEFAULT[0]
    inner: frozenset[int] = DEFAULT[1]
    fou: int = 0
    udp_checksum: bool = True
    known: frozenset[int] = frozenset()
    """Types of options that there is a rule for."""

    def record(self) -> bytes:
        accept = sum(ACCEPT[name] for name in self.accept)
        bits = sum(1 << number for number in self.inner).to_bytes(32, "little")
        head = struct.pack("!BBB", accept, self.fou, self.udp_checksum)
        bits += sum(1 << number for number in self.known).to_bytes(32, "little")
        return head + bits + struct.pack("!H", len(self.payload)) + self.payload

    def expected(self) -> tuple[str, int, int]:
        """Reason ("" where it passes), protocol, octets of header."""
        said = receive_verdict(
            self.payload,
            accept=self.accept,
            inner=self.inner,
            fou_protocol=self.fou or None,
            udp_checksum=self.udp_checksum,
            rules=[ReceiveRule(number) for number in self.known],
        )
        if isinstance(said, Dropped):
            return said.reason, 0, 0
        assert isinstance(said, Accepted)
        return "", said.protocol, said.header_octets


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """wire_c.c, compiled."""
    return compiled("wire_c.c", tmp_path_factory.mktemp("wire"))


def compare(program: Path, cases: list[Case]) -> Counter[str]:
    """Both judge all cases. Returns how often each reason came out ("" for those that pass)."""
    records = b"".join(case.record() for case in cases)
    done = subprocess.run([str(program)], check=False, input=records, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert len(done.stdout) == 3 * len(cases), "one answer a packet"
    names = {0: "", **reasons()}
    seen: Counter[str] = Counter()
    for case, answer in zip(cases, struct.iter_unpack("BBB", done.stdout), strict=True):
        reason, protocol, octets = answer
        said = (names[reason], 0, 0) if reason else ("", protocol, octets)
        assert said == case.expected(), f"wire.h says {said} of {case}"
        seen[said[0]] += 1
    return seen


def options(rng: random.Random) -> bytes:
    """An option area, mostly in order, of a multiple of four octets up to 124."""
    area = b""
    for _ in range(rng.randrange(6)):
        kind = rng.choice((0, 1, 0x59, *OPTIONS, rng.randrange(256)))
        data = rng.randbytes(rng.choice((0, 0, 1, 2, 4, 4, 8, 26, rng.randrange(40))))
        if kind == 0x59 and rng.random() < 0.8:
            data = remote(rng)
        area += b"\0" if kind == 0 else bytes((kind, len(data))) + data
    area = area[: rng.choice((124, 124, 124, len(area) // 2))]
    rest = -len(area) % 4
    return area + rng.choice((b"\0" * rest, rng.randbytes(rest)))


def remote(rng: random.Random) -> bytes:
    """A start and an offset of a remote checksum, mostly small."""
    return struct.pack("!HH", rng.choice((0, 0, rng.randrange(30), 0xFFFF)), rng.choice((0, 2, rng.randrange(60), 0xFFFF)))


def fields(rng: random.Random) -> bytes:
    """A GUE header from its second word on, with flags of remote checksum among others."""
    flags = rng.choice((0, 0x0200, 0x0001, 0x0001, 0x0201, 0x0201 | 1 << rng.randrange(16)))
    made = remote(rng) if flags & 0x0200 else b""
    if flags & 1:
        made += rng.choice((bytes(4), b"\x80\0\0\0", b"\x80\0\0\0", rng.randbytes(4)))
        made += remote(rng) if rng.random() < 0.8 else b""
    return struct.pack("!H", flags) + made + rng.randbytes(4 * rng.choice((0, 0, 1, 3)))


def seal(payload: bytes) -> bytes:
    """The Check word that makes a payload neutral, by the arithmetic of the specification."""
    data = payload[:2] + b"\0\0" + payload[4:]
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    return data[:2] + struct.pack("!H", -total % 0xFFFF or 0xFFFF) + data[4:]


def payload(rng: random.Random) -> bytes:
    """A payload that comes near the rules: right, or wrong in one place or two."""
    protocol = rng.choice((4, 41, 47, 143, 0, 6, 17, 33, 50, 58, 59, 1, 132, 136, rng.randrange(256)))
    first = {4: 0x45, 41: 0x60}.get(protocol, rng.randrange(256))
    inner = bytes((first,)) + rng.randbytes(rng.choice((0, 3, 7, 11, 13, 19, 20, 39, 40, rng.randrange(64))))
    match rng.randrange(6):
        case 0:
            made = inner
        case 5:
            rest = fields(rng)
            control = 0x20 if rng.random() < 0.1 else 0
            made = bytes(((len(rest) - 2) // 4 | control, rng.choice((protocol, protocol, 255)))) + rest + inner
        case 1:
            flags = rng.choice((0, 0, 0, 1 << rng.randrange(16), rng.randrange(0x10000)))
            words = rng.randbytes(4 * rng.randrange(32))
            made = bytes((len(words) // 4, protocol)) + struct.pack("!H", flags) + words + inner
        case 2 | 3:
            area = options(rng)
            made = bytes((0x80 | len(area) // 4, protocol, 0, 0)) + area + inner
            if rng.random() < 0.4:
                made = seal(made)
        case _:
            made = rng.randbytes(rng.randrange(160))
    if made and rng.random() < 0.3:
        at = rng.randrange(min(len(made), rng.choice((1, 4, 160))))
        made = made[:at] + bytes((made[at] ^ 1 << rng.randrange(8),)) + made[at + 1 :]
    if rng.random() < 0.2:
        made = made[: rng.randrange(len(made) + 1)]
    return made


def near_misses(count: int) -> Iterator[Case]:
    rng = random.Random(SEED)
    subsets = [frozenset(s) for s in (["gue0"], ["bare"], ["gutless"], ["gue0", "bare"], ["bare", "gutless"])]
    for _ in range(count):
        if rng.random() < 0.1:
            fou = rng.choice((4, 41, 47, 17, 143, rng.randrange(1, 256)))
            yield Case(payload(rng), frozenset({"fou"}), frozenset({fou}), fou)
            continue
        accept = DEFAULT[0] if rng.random() < 0.9 else rng.choice(subsets)
        inner = DEFAULT[1] if rng.random() < 0.5 else frozenset(range(1, 256))
        known = frozenset(number for number in OPTIONS if rng.random() < 0.5) if rng.random() < 0.3 else frozenset[int]()
        yield Case(payload(rng), accept, inner, 0, rng.random() < 0.5, known)


def test_each_first_octet_with_each_length(judge: Path) -> None:
    """All 32 header lengths x packet lengths 0-140, every variant, control bit or not; octets 1 on: an IPv4 header."""
    inner = bytes((4, 0, 0, *bytes.fromhex("45000014000000000401"), *bytes(131)))
    seen = compare(judge, [Case((bytes((first,)) + inner)[:size]) for first in range(256) for size in range(141)])
    assert sum(seen.values()) == 256 * 141
    # 128 of 141 octets of header with variant 00 or 10; of the 64 with 11, all but the empty one
    assert seen["variant"] == (64 + 32) * 140


def test_each_value_of_the_gue_flags(judge: Path) -> None:
    """65,536 words, each with no room for fields, with some, and with the most there can be."""
    cases = [
        Case(bytes((words, 4, flags >> 8, flags & 0xFF)) + bytes(4 * words) + b"\x45" + bytes(19))
        for flags in range(0x10000)
        for words in (0, 3, 31)
    ]
    seen = compare(judge, cases)
    # the word 0, and where there is room: R, private flags of which none is set, both
    assert seen[""] == 3 + 3 * 2
    assert set(seen) == {"", "flags", "length"}


@pytest.mark.parametrize("group", GROUPS)
def test_cases_with_a_verdict(judge: Path, group: str) -> None:
    """The list that the kernel gets as well."""
    seen = compare(judge, [Case(case.payload) for case in GROUPS[group]])
    assert seen == Counter(case.verdict for case in GROUPS[group])


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_each_type_with_each_length(judge: Path, known: bool) -> None:
    """256 types x 0-255 octets said to be there, of which 124 are; alone, and twice. Known to the port or not."""
    cases = []
    for kind in range(256):
        rules = frozenset({kind} - {0, 1, 0x59}) if known else frozenset[int]()
        for size in range(256):
            area = (bytes((kind, size)) + bytes(122))[:124]
            cases.append(Case(b"\x9f\x04\0\0" + area + b"\x45" + bytes(19), known=rules))
        for size in (0, 4, 8, 26):
            one = bytes((kind, size)) + bytes(size)
            cases.append(Case(b"\x9f\x04\0\0" + (2 * one + bytes(124))[:124] + b"\x45" + bytes(19), known=rules))
    seen = compare(judge, cases)
    assert seen["options"] > 256 * 133, "more than fit is dropped for every type but Pad1"
    assert seen[""] > (255 if known else 63) * 100


def test_near_misses(judge: Path) -> None:
    """150,000 packets that are right or nearly so: every reason the formats have comes up, and often."""
    seen = compare(judge, list(near_misses(150_000)))
    assert sum(seen.values()) == 150_000
    not_of_the_format = {"source", "nesting", "no-memory", "option-missing", "option-value", "option-refused"}
    for reason in {"", *reasons().values()} - not_of_the_format:
        assert seen[reason] >= 100, f"{reason or 'passing'} came up {seen[reason]} times: {seen}"


@pytest.mark.parametrize(
    ("octets", "udp_checksum", "verdict"),
    [
        ("", True, ("truncated", 0, 0)),
        ("00", True, ("truncated", 0, 0)),
        ("00040000" + "45" + "00" * 19, True, ("", 4, 4)),
        ("01040000" + "00000000" + "45" + "00" * 19, True, ("", 4, 8)),
        ("00040000" + "45" + "00" * 18, True, ("inner", 0, 0)),
        ("00040000" + "65" + "00" * 19, True, ("inner", 0, 0)),
        ("00048000" + "45" + "00" * 19, True, ("length", 0, 0)),
        ("01048000" + "00000007" + "45" + "00" * 19, True, ("flags", 0, 0)),
        ("00040002" + "45" + "00" * 19, True, ("flags", 0, 0)),
        ("00045000" + "45" + "00" * 19, True, ("flags", 0, 0)),
        ("20040000" + "45" + "00" * 19, True, ("control", 0, 0)),
        ("00000000" + "45" + "00" * 19, True, ("protocol-zero", 0, 0)),
        ("00110000" + "00" * 8, True, ("protocol", 0, 0)),
        ("45" + "00" * 19, True, ("", 4, 0)),
        ("60" + "00" * 39, True, ("", 41, 0)),
        ("60" + "00" * 38, True, ("inner", 0, 0)),
        ("50" + "00" * 39, True, ("variant", 0, 0)),
        ("70" + "00" * 39, True, ("variant", 0, 0)),
        ("c0" + "00" * 39, True, ("variant", 0, 0)),
        ("80040000" + "45" + "00" * 19, True, ("", 4, 4)),
        ("81040000" + "00000000" + "45" + "00" * 19, True, ("", 4, 8)),
        ("81040000" + "1e02abcd" + "45" + "00" * 19, True, ("", 4, 8)),
        ("81040000" + "1e03abcd" + "45" + "00" * 19, True, ("options", 0, 0)),
        ("81040000" + "5e02abcd" + "45" + "00" * 19, True, ("options", 0, 0)),
        ("81040000" + "9e02abcd" + "45" + "00" * 19, True, ("options", 0, 0)),
        ("81040000" + "de02abcd" + "45" + "00" * 19, True, ("options", 0, 0)),
        ("81040000" + "00000001" + "45" + "00" * 19, True, ("options", 0, 0)),
        # 0x8004 + 0x34fb + 0x4500 + 0x0600 = 0xffff
        ("800434fb" + "45000600" + "00" * 16, False, ("", 4, 4)),
        ("800434fc" + "45000600" + "00" * 16, False, ("check", 0, 0)),
        ("800434fc" + "45000600" + "00" * 16, True, ("", 4, 4)),
    ],
)
def test_said_by_hand(judge: Path, octets: str, udp_checksum: bool, verdict: tuple[str, int, int]) -> None:
    """Verdicts worked out by hand from docs/protocol.md: what both programs could have wrong alike."""
    case = Case(bytes.fromhex(octets), udp_checksum=udp_checksum)
    assert case.expected() == verdict
    compare(judge, [case])
