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

from gutctl.encap import Accepted, Control, Cookie, Dropped, GueFields, ReceiveRule, receive_verdict

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "kmod/include/uapi/linux/gutless.h"
CONTROL = {"ECHO_REQUESTS", "ECHO_REPLIES", "REPORTS"}
"""Counters of control messages that are acted on."""
ACCEPT = {"fou": 1, "gue0": 2, "bare": 4, "gutless": 8}
DEFAULT = (frozenset({"gue0", "bare", "gutless"}), frozenset({4, 41, 47, 143}), 0)
OPTIONS = (0x1B, 0x1C, 0x30, 0x58, 0x5A, 0x5B, 0x9E, 0xDE)
GROUP = (bytes((0, 0, 0, 7)), bytes((0, 0, 0, 8)))
COOKIES = (bytes(range(1, 33)), bytes(range(1, 8)) + b"x" + bytes(range(9, 33)))
SIZES = (0, 8, 16, 32)
"""Of cookies, by the flags that ask for them."""
NOTHING = GueFields()
SEED = 20261121


def reasons() -> dict[int, str]:
    """Attribute number -> reason or kind of control message, as the uapi header has them."""
    body = re.search(r"enum gutless_rx_attr \{(.*?)\};", HEADER.read_text(), re.DOTALL)
    assert body
    names = re.findall(r"^\s*(GUTLESS_A_RX_\w+),", body[1], re.MULTILINE)
    prefix = "GUTLESS_A_RX_"
    return {
        number: name.removeprefix(prefix).removeprefix("DROP_").lower().replace("_", "-")
        for number, name in enumerate(names)
        if name.startswith(f"{prefix}DROP_") or name.removeprefix(prefix) in CONTROL
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
    gue: GueFields = NOTHING
    """Fields of GUE that the port requires."""
    ends: int = 1
    """The sum of addresses and ports."""

    def record(self) -> bytes:
        accept = sum(ACCEPT[name] for name in self.accept)
        bits = sum(1 << number for number in self.inner).to_bytes(32, "little")
        head = struct.pack("!BBB", accept, self.fou, self.udp_checksum)
        bits += sum(1 << number for number in self.known).to_bytes(32, "little")
        cookie = self.gue.cookie.octets or b"" if self.gue.cookie else b""
        flags = 0x8000 * (self.gue.group is not None) | SIZES.index(len(cookie)) << 12 | 0x0100 * self.gue.csum
        fields = struct.pack("!HHI", self.ends, flags, self.gue.group or 0) + cookie.ljust(32, b"\0")
        return head + bits + fields + struct.pack("!H", len(self.payload)) + self.payload

    def expected(self) -> tuple[str, int, int]:
        """Reason ("" where it passes), protocol, octets of header."""
        said = receive_verdict(
            self.payload,
            accept=self.accept,
            inner=self.inner,
            fou_protocol=self.fou or None,
            udp_checksum=self.udp_checksum,
            rules=[ReceiveRule(number) for number in self.known],
            gue=self.gue,
            pseudo=self.ends,
        )
        if isinstance(said, Dropped):
            return said.reason, 0, 0
        if isinstance(said, Control):
            return said.counter, 0, 0
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
    """A GUE header from its second word on, with flags of remote checksum, group, cookie and checksum among others."""
    flags = rng.choice((0, 0x0200, 0x0001, 0x0001, 0x0201, 0x0201 | 1 << rng.randrange(16)))
    flags |= rng.choice((0, 0, 0x8000, 0x0100, 0x8100, 0x1000, 0x9100, rng.randrange(4) << 12 | 0x8000))
    made = GROUP[rng.random() < 0.3] if flags & 0x8000 else b""
    made += COOKIES[rng.random() < 0.3][: SIZES[flags >> 12 & 3]] if flags & 0x7000 else b""
    made += remote(rng) if flags & 0x0200 else b""
    made += struct.pack("!HH", rng.randrange(0x10000), rng.choice((0, 0, 20, 21, rng.randrange(80)))) if flags & 0x0100 else b""
    if flags & 1:
        made += rng.choice((bytes(4), b"\x80\0\0\0", b"\x80\0\0\0", rng.randbytes(4)))
        made += remote(rng) if rng.random() < 0.8 else b""
    return struct.pack("!H", flags) + made + rng.randbytes(4 * rng.choice((0, 0, 1, 3)))


def seal_gue(payload: bytes, ends: int) -> bytes:
    """With the checksum that fits, where the header has one and the packet what it covers."""
    flags = payload[2] << 8 | payload[3]
    at = 4 + 4 * bool(flags & 0x8000) + SIZES[flags >> 12 & 3] + 4 * bool(flags & 0x0200)
    size = 4 + 4 * (payload[0] & 31)
    if not flags & 0x0100 or at + 4 > size:
        return payload
    covered = payload[: size + int.from_bytes(payload[at + 2 : at + 4], "big")]
    covered = covered[:at] + b"\0\0" + covered[at + 2 :] + bytes(len(covered) % 2)
    total = sum(struct.unpack(f"!{len(covered) // 2}H", covered)) + ends
    return payload[:at] + struct.pack("!H", -total % 0xFFFF) + payload[at + 2 :]


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
            if rng.random() < 0.7:
                made = seal_gue(made, 1)
        case 1:
            flags = rng.choice((0, 0, 0, 1 << rng.randrange(16), rng.randrange(0x10000)))
            words = rng.randbytes(4 * rng.randrange(32))
            made = bytes((len(words) // 4, protocol)) + struct.pack("!H", flags) + words + inner
        case 2 | 3:
            area = options(rng)
            made = bytes((0x80 | len(area) // 4, protocol, 0, 0)) + area + inner
            if rng.random() < 0.2:
                body = rng.randbytes(rng.choice((0, 3, 4, 5, 68, 69, rng.randrange(100))))
                made = bytes((made[0] | 0x20, rng.choice((0, 1, 2, 3, 3, 4, rng.randrange(256))))) + made[2 : 4 + len(area)] + body
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


def required(rng: random.Random) -> GueFields:
    """Fields that a port requires: none, one, or more, of the values that packets have mostly."""
    cookie = Cookie.of(COOKIES[0][: rng.choice((8, 16, 32))]) if rng.random() < 0.4 else None
    return GueFields(int.from_bytes(GROUP[0], "big") if rng.random() < 0.5 else None, rng.random() < 0.4, cookie)


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
        gue = required(rng) if rng.random() < 0.3 else GueFields()
        yield Case(payload(rng), accept, inner, 0, rng.random() < 0.5, known, gue)


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
    # the word 0, and where there is room: R, private flags of which none is set, both; the checksum is never right
    assert seen[""] == 3 + 3 * 2
    assert seen["gue-csum"] == 4 * 2
    assert set(seen) == {"", "flags", "length", "gue-csum"}


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
    not_of_the_format |= {"auth-missing", "auth-key", "auth-tag", "auth-replay", "auth-time"}
    not_of_the_format |= {"control-limit"}
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
        ("a0010000" + "00010002", True, ("echo-requests", 0, 0)),
        ("a0010000" + "000100", True, ("control", 0, 0)),
        ("a0020000" + "00010002", True, ("echo-replies", 0, 0)),
        ("a0030000" + "01040000" + "00" * 64, True, ("reports", 0, 0)),
        ("a0030000" + "01040000" + "00" * 65, True, ("control", 0, 0)),
        ("a0040000" + "00010002", True, ("control", 0, 0)),
        ("a0000000" + "00010002", True, ("control", 0, 0)),
        ("a1010000" + "1e000000" + "00010002", True, ("echo-requests", 0, 0)),
        ("a1010000" + "9e000000" + "00010002", True, ("options", 0, 0)),
        ("a2010000" + "590400000000" + "0000" + "00010002", True, ("options", 0, 0)),
        # 0xa001 + 0x5ffb + 0x0001 + 0x0002 = 0xffff
        ("a0015ffb" + "00010002", False, ("echo-requests", 0, 0)),
        ("a0015ffb" + "00010003", False, ("check", 0, 0)),
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


FIELDS = {
    "group": (GueFields(7), 0x8000, GROUP[0]),
    "checksum": (GueFields(csum=True), 0x0100, bytes(4)),
    **{f"cookie of {size}": (GueFields(cookie=Cookie.of(COOKIES[0][:size])), SIZES.index(size) << 12, COOKIES[0][:size]) for size in SIZES[1:]},
}
INNER = b"\x45" + bytes(19)


def made(flags: int, body: bytes) -> bytes:
    return seal_gue(bytes((len(body) // 4, 4)) + struct.pack("!H", flags) + body + INNER, 1)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_is_required(judge: Path, name: str) -> None:
    """Right it passes; missing, in whatever format, and with any one bit of it turned it does not."""
    required, flags, body = FIELDS[name]
    reason = "gue-" + {"checksum": "csum"}.get(name, name.split()[0])
    good = made(flags, body)
    size = 4 + len(body)
    assert compare(judge, [Case(good, gue=required)]) == Counter([""])
    turned = [good[:at] + bytes((good[at] ^ 1 << bit,)) + good[at + 1 :] for at in range(4, size) for bit in range(8)]
    assert compare(judge, [Case(one, gue=required) for one in turned]) == Counter({reason: 8 * len(body)})
    others = [made(0, b""), INNER, b"\x80\x04\0\0" + INNER]
    assert compare(judge, [Case(one, gue=required) for one in others]) == Counter({reason: 3})
    # where nobody asked for it: a checksum may be there, what tells senders apart may not
    assert compare(judge, [Case(good)]) == Counter(["" if name == "checksum" else "flags"])
    # the header ends in the field
    short = [bytes(((len(body) - cut) // 4, 4)) + good[2 : size - cut] + INNER for cut in range(4, len(body) + 1, 4)]
    assert compare(judge, [Case(one, gue=required) for one in short]) == Counter({"length": len(short)})


def test_fields_beside_each_other(judge: Path) -> None:
    """All that are required together, the remote checksum between or behind them, and the order of the reasons."""
    cookie = Cookie.of(COOKIES[0][:16])
    required = GueFields(7, True, cookie)
    group, other = GROUP
    wrong = COOKIES[1][:16]
    pair = struct.pack("!HH", 0, 10)
    private = b"\x80\0\0\0" + pair
    cases = [
        (made(0xA100, group + COOKIES[0][:16] + bytes(4)), ""),
        (made(0xA300, group + COOKIES[0][:16] + pair + bytes(4)), ""),
        (made(0xA101, group + COOKIES[0][:16] + bytes(4) + private), ""),
        (made(0xA100, group + COOKIES[0][:16] + b"\0\0\0\x14"), ""),
        (made(0xA100, group + COOKIES[0][:16] + b"\0\0\0\x15"), "gue-csum"),
        (made(0xA100, other + wrong + b"\0\0\0\x15"), "gue-csum"),
        (made(0xA000, group + COOKIES[0][:16]), "gue-csum"),
        (made(0xA100, other + wrong + bytes(4)), "gue-cookie"),
        (made(0x9100, group + COOKIES[0][:8] + bytes(4)), "gue-cookie"),
        (made(0xB100, group + COOKIES[0] + bytes(4)), "gue-cookie"),
        (made(0x8100, group + bytes(4)), "gue-cookie"),
        (made(0xA100, other + COOKIES[0][:16] + bytes(4)), "gue-group"),
        (made(0x2100, COOKIES[0][:16] + bytes(4)), "gue-group"),
        (made(0xC100, group + bytes(40) + bytes(4)), "flags"),
        (b"\x20\x04\0\0" + INNER, "control"),
    ]
    for payload, reason in cases:
        assert compare(judge, [Case(payload, gue=required)]) == Counter([reason]), payload.hex()
