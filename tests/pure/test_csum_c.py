# SPDX-License-Identifier: Apache-2.0
"""The module's csum.h, compiled with sanitizers: what it tells of a packet is what a pass over it says.

And of a packet that was damaged on its way it tells something else, so that the outer checksum made
of it is as wrong as the packet.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import summed
from compiled import compiled
from summed import Packet

from gutctl.encap import checksum

TOLD = summed.plain() + summed.surplus() + summed.carried()
UNTOLD = summed.untold()

Question = tuple[int, bytes, int]
"""Protocol, octets that can be read, octets in all."""
Answer = tuple[int, int] | None
"""Octets from the start, and their sum (one's complement, 0xffff for 0)."""


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """csum_c.c, compiled."""
    return compiled("csum_c.c", tmp_path_factory.mktemp("csum"))


def ask(teller: Path, questions: Iterable[Question]) -> list[Answer]:
    """What the program says of each."""
    records = [struct.pack("!BHH", protocol, len(octets), total) + octets for protocol, octets, total in questions]
    done = subprocess.run([str(teller)], check=False, input=b"".join(records), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    answers = list(struct.iter_unpack("!BHH", done.stdout))
    assert len(answers) == len(records), "one answer a packet"
    return [(octets, sum_ or 0xFFFF) if told else None for told, octets, sum_ in answers]


def full_pass(octets: bytes) -> int:
    """The one's complement sum, 0xffff for 0."""
    return (~checksum(octets) & 0xFFFF) or 0xFFFF


def whole(octets: bytes, answer: tuple[int, int]) -> int:
    """The sum of all octets by an answer: what is behind its length is added."""
    length, sum_ = answer
    sum_ += full_pass(octets[length:] if length % 2 == 0 else b"\0" + octets[length:]) if octets[length:] else 0
    return (sum_ & 0xFFFF) + (sum_ >> 16)


def right(octets: bytes, answer: tuple[int, int]) -> bool:
    return whole(octets, answer) % 0xFFFF == full_pass(octets) % 0xFFFF


def test_sums_without_a_pass(teller: Path) -> None:
    asked = ask(teller, ((p.protocol, p.octets, len(p.octets)) for p in TOLD))
    for packet, answer in zip(TOLD, asked, strict=True):
        assert answer is not None, packet
        assert right(packet.octets, answer), packet


def test_what_is_behind_the_length_is_left_to_add(teller: Path) -> None:
    """Padding and UDP's surplus are never guessed."""
    packets = summed.surplus()
    for packet, answer in zip(
        packets, ask(teller, ((p.protocol, p.octets, len(p.octets)) for p in packets)), strict=True
    ):
        assert answer is not None and answer[0] == len(packet.octets) - 3, packet


@pytest.mark.parametrize("packet", UNTOLD, ids=str)
def test_needs_the_pass(teller: Path, packet: Packet) -> None:
    assert ask(teller, [(packet.protocol, packet.octets, len(packet.octets))]) == [None]


def test_damaged_bit_by_bit(teller: Path) -> None:
    """Every bit of every packet, alone: the answer is wrong, or there is none, or the bit is one no checksum is of."""
    questions, packets = [], []
    for packet in TOLD:
        for bit in range(8 * len(packet.octets)):
            octets = bytearray(packet.octets)
            octets[bit // 8] ^= 0x80 >> bit % 8
            questions.append((packet.protocol, bytes(octets), len(octets)))
            packets.append((packet, bit))
    seen = {"wrong": 0, "none": 0, "unprotected": 0}
    for (packet, bit), question, answer in zip(packets, questions, ask(teller, questions), strict=True):
        if answer is None:
            seen["none"] += 1
        elif not right(question[1], answer):
            seen["wrong"] += 1
        else:
            seen["unprotected"] += 1
            assert unprotected(packet, bit // 8), f"{packet}, bit {bit % 8} of octet {bit // 8}, is not noticed"
    assert min(seen.values()) > 500, seen


def unprotected(packet: Packet, at: int) -> bool:
    """Octets that neither IP's nor the transport's checksum is of: they may change, and the outer one is of them."""
    octets, carrier = packet.octets, 0
    if packet.protocol == summed.GRE:
        if octets[0] & 0x80:
            return False
        carrier = 4 + 4 * bool(octets[0] & 0x20) + 4 * bool(octets[0] & 0x10)
        carrier += 14 * (octets[2:4] == b"\x65\x58")
    if packet.protocol == summed.ETHERNET:
        carrier = 14
    if at < carrier:
        return True
    at, inner = at - carrier, octets[carrier:]
    length = 40 + int.from_bytes(inner[4:6], "big") if inner[0] >> 4 == 6 else int.from_bytes(inner[2:4], "big")
    if at >= length:
        return True
    if inner[0] >> 4 == 6:
        # traffic class, flow label, hop limit; beside UDP's own length, IPv6's and what is behind
        if at in (0, 1, 2, 3, 7):
            return True
        return inner[6] == summed.UDP and (at in (4, 5) or at >= 40 + int.from_bytes(inner[44:46], "big"))
    return inner[9] == summed.UDP and at >= 20 + int.from_bytes(inner[24:26], "big")


def test_reads_no_further_than_told(teller: Path) -> None:
    """Cut anywhere, the sanitizer being the judge; an answer is right even then, since the rest is there."""
    for packet in TOLD:
        cuts = range(len(packet.octets) + 1)
        asked = ask(teller, ((packet.protocol, packet.octets[:cut], len(packet.octets)) for cut in cuts))
        assert asked[-1] is not None
        for answer in asked:
            assert answer is None or right(packet.octets, answer), packet


def test_no_answer_is_longer_than_the_packet(teller: Path) -> None:
    """Lengths that lie, in the headers or by truncation, and octets without sense."""
    rng = random.Random(20261121)
    questions = []
    for packet in TOLD:
        for _ in range(60):
            octets = bytearray(packet.octets[: rng.randrange(len(packet.octets) + 1)])
            for _ in range(rng.randrange(4)):
                if octets:
                    octets[rng.randrange(min(len(octets), 60))] = rng.choice(
                        (0, 1, 0x45, 0x60, 0xFF, rng.randrange(256))
                    )
            questions.append((packet.protocol, bytes(octets), len(octets)))
    told = 0
    for question, answer in zip(questions, ask(teller, questions), strict=True):
        if answer is not None:
            told += 1
            assert answer[0] <= question[2]
    assert told > 100
