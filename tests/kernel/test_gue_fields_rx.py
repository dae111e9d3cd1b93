# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE 0 that a port requires, or finds: group, the draft's checksum, cookie; and those that nobody acts on.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)
"""

from __future__ import annotations

import itertools
import random
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rawnl
from gueports import COOKIE, GROUP, attribute, cookie, expect, packet, pseudo
from inject import Bench, Target
from net import Net

from gutctl.encap import (
    AlternateChecksum,
    Fragment,
    Gue,
    GueFields,
    Gutless,
    HeaderChecksum,
    Hmac,
    Private,
    RemoteChecksum,
    Transform,
    encode,
    seal_gue,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pure"))
from gue_cases import LEFT

REQUIRED = {
    "group": GueFields(GROUP),
    "checksum": GueFields(csum=True),
    "cookie of 8": GueFields(cookie=cookie(8)),
    "cookie of 16": GueFields(cookie=cookie(16)),
    "cookie of 32": GueFields(cookie=cookie(32)),
    "all": GueFields(GROUP, True, cookie(32)),
}
SEED = 20261123


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    yield made
    made.close()


@pytest.fixture(params=[4, 6], ids=["over-v4", "over-v6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def opened(bench: Bench, family: int, required: GueFields) -> Target:
    return bench.open(family, attribute(required), rawnl.u8("A_PORT_ZERO_CSUM6", int(family == 6)))


def judge(bench: Bench, target: Target, cases: list[tuple[bytes, str]], required: GueFields, **how: Any) -> None:
    """Each case has its verdict; what the port requires passes in between."""
    ends = pseudo(bench, target, summed=how.get("summed", True))
    for reason, group in itertools.groupby(cases, key=lambda case: case[1]):
        payloads = [case[0] for case in group]
        for at in range(0, len(payloads), 48):
            batch = payloads[at : at + 48]
            before = bench.counters(target)
            for payload in batch:
                bench.send(target, payload, **how)
            found = bench.change(target, before, len(batch), 10)
            assert found == {reason or "packets": len(batch)}, f"{reason}: {found}: {[p.hex() for p in batch]}"
        before = bench.counters(target)
        bench.drain()
        bench.send(target, packet(required.header(4), ends, data=b"in between"), **how)
        while bench.sinks[4].recv(65536) != b"in between":
            pass
        assert bench.change(target, before, 1, 10) == {"packets": 1}


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("summed", [True, False], ids=["summed", "unsummed"])
def test_right_missing_and_wrong(bench: Bench, family: int, name: str, summed: bool) -> None:
    """Right passes, to either inner version. Without the field, in any format, and with any octet of it another, it does not."""
    required = REQUIRED[name]
    target = opened(bench, family, required)
    ends = pseudo(bench, target, summed=summed)
    good = required.header(4)
    right = packet(good, ends)
    size = good.octets
    payloads = [right, packet(replace(good, protocol=41), ends, 6), packet(replace(good, surplus=b"\xff" * 8), ends)]
    behind = right[size:]
    payloads += [encode(Gue(4), behind), encode(Gutless(4), behind), behind]
    payloads += [right[:at] + bytes((right[at] ^ 1 << bit,)) + right[at + 1 :] for at in range(4, size) for bit in (0, 7)]
    # the header ends before its fields do, and the packet within them
    payloads += [bytes((size // 4 - 1 - cut,)) + right[1:] for cut in range(1, size // 4)]
    payloads += [right[:cut] for cut in range(4, size)]
    cases = expect(payloads, required, ends)
    reasons = {reason for _, reason in cases}
    assert {"", "length", "truncated"} < reasons
    assert reasons - {"", "length", "truncated"} <= {"gue-group", "gue-csum", "gue-cookie"}
    judge(bench, target, cases, required, summed=summed)
    bench.shut(target)


def test_two_things_wrong(bench: Bench, family: int) -> None:
    """Damage is told before a wrong cookie, that before a wrong group; other values and sizes of each."""
    required = REQUIRED["all"]
    target = opened(bench, family, required)
    ends = pseudo(bench, target)
    payloads = []
    for group, csum, key in itertools.product((None, GROUP, GROUP ^ 1, 0), (None, 0, 20, 37, 1000), (None, 8, 16, 32, -32, 40)):
        security: bytes | Hmac | None = COOKIE[:key] if key and key > 0 else None
        security = bytes(32) if key == -32 else Hmac(1, 0, 0, bytes(32)) if key == 40 else security
        check = None if csum is None else HeaderChecksum(0, min(csum, 30))
        header = Gue(4, group=group, security=security, checksum=check)
        made = packet(header, ends)
        payloads.append(made)
        if csum is not None:
            at = len(encode(header)) - 4
            payloads.append(made[:at] + bytes((made[at] ^ 0x55,)) + made[at + 1 :])
            if csum == 1000:
                payloads.append(made[: at + 2] + struct.pack("!H", len(made) - len(encode(header)) + 1) + made[at + 4 :])
    cases = expect(payloads, required, ends)
    assert {reason for _, reason in cases} == {"", "gue-group", "gue-cookie", "gue-csum", "flags"}
    judge(bench, target, cases, required)
    bench.shut(target)


def test_what_nobody_asked_for(bench: Bench, family: int) -> None:
    """A checksum is verified and passes if right; group and cookie are not supported; nor is what a port cannot be told of."""
    nothing = GueFields()
    target = opened(bench, family, nothing)
    ends = pseudo(bench, target)
    pair = RemoteChecksum(20, 26)
    headers = {
        "checksum": (Gue(4, checksum=HeaderChecksum(0, 0)), ""),
        "checksum of some": (Gue(4, checksum=HeaderChecksum(0, 21)), ""),
        "checksum of a control message": (Gue(7, control=True, checksum=HeaderChecksum(0, 0)), "control"),
        "checksum, next header 0": (Gue(0, checksum=HeaderChecksum(0, 0)), "protocol-zero"),
        "group": (Gue(4, group=7), "flags"),
        "group 0": (Gue(4, group=0), "flags"),
        **{f"cookie of {size}": (Gue(4, security=bytes(size)), "flags") for size in (8, 16, 32)},
        "group of a control message": (Gue(7, control=True, group=7), "control"),
        "HMAC": (Gue(4, security=Hmac(1, 0, 0, bytes(32))), "flags"),
        "fragment, the first": (Gue(4, fragment=Fragment(0, True, 4, 1)), "flags"),
        "fragment, the last": (Gue(59, fragment=Fragment(2, False, 4, 1)), "flags"),
        "fragment that is whole": (Gue(4, fragment=Fragment(0, False, 4, 1)), "flags"),
        "transform": (Gue(59, transform=Transform(1, 4)), "flags"),
        "NAT": (Gue(4, nat=0), "flags"),
        "alternate checksum": (Gue(4, alternate=AlternateChecksum(0, 0)), "flags"),
        "magic number": (Gue(4, magic=True), "flags"),
        "private, none set": (Gue(4, private=Private()), ""),
        "remote in both forms": (Gue(4, remote=pair, private=Private(pair)), "flags"),
        "HMAC of a control message": (Gue(7, control=True, security=Hmac(1, 0, 0, bytes(32))), "flags"),
    }
    for name, (header, reason) in headers.items():
        made = packet(header, ends)
        assert expect([made], nothing, ends) == [(made, reason)], name
        judge(bench, target, [(made, reason)], nothing)
    bench.shut(target)


def test_a_checksum_of_what_is_carried(bench: Bench, family: int) -> None:
    """Every coverage to the end and one beyond it, odd and even, in one piece and in pages; each octet covered counts."""
    required = GueFields(csum=True)
    target = opened(bench, family, required)
    ends = pseudo(bench, target)
    whole = packet(required.header(4), ends)
    length = len(whole) - 8
    payloads = [packet(Gue(4, checksum=HeaderChecksum(0, size)), ends) for size in range(length + 1)]
    covered = packet(Gue(4, checksum=HeaderChecksum(0, 31)), ends)
    # beyond the 31 octets it is the inner checksum's business
    payloads += [covered[:at] + bytes((covered[at] ^ 1,)) + covered[at + 1 :] for at in range(8, 8 + 31)]
    beyond = whole[:6] + struct.pack("!H", length + 1) + whole[8:]
    cases = expect([*payloads, beyond], required, ends)
    assert sum(not reason for _, reason in cases) == length + 1
    judge(bench, target, cases, required)
    bench.shut(target)


@pytest.mark.parametrize("draft", [True, False], ids=["flag R", "private"])
def test_beside_a_remote_checksum(bench: Bench, family: int, draft: bool) -> None:
    """The checksum that is left to us is made, where all fields around it are right."""
    required = REQUIRED["all"]
    target = opened(bench, family, required)
    ends = pseudo(bench, target)
    pair = RemoteChecksum(20, 26)
    header = required.header(4)
    header = replace(header, remote=pair) if draft else replace(header, private=Private(pair))

    made = encode(seal_gue(header, LEFT, ends), LEFT)
    before = bench.counters(target)
    bench.drain()
    bench.send(target, made)
    assert bench.sinks[4].recv(65536) == LEFT[28:]
    assert bench.change(target, before, 1, 10) == {"packets": 1}
    at = made.index(struct.pack("!HH", 20, 26))
    broken = made[: at + 3] + b"\x1c" + made[at + 4 :]
    judge(bench, target, expect([broken], required, ends), required)
    bench.shut(target)


def test_near_misses(bench: Bench, family: int) -> None:
    """Headers right or nearly so, by chance (of a fixed seed), on ports with every set of requirements."""
    rng = random.Random(SEED)
    for required in [GueFields(), *REQUIRED.values(), GueFields(GROUP, True), GueFields(0)]:
        target = opened(bench, family, required)
        ends = pseudo(bench, target)
        payloads: list[bytes] = []
        while len(payloads) < 120:
            header = Gue(
                rng.choice((4, 4, 4, 0, 17)),
                group=rng.choice((None, GROUP, GROUP, 0)),
                security=rng.choice((None, COOKIE[:8], COOKIE[:16], COOKIE, COOKIE, bytes(32))),
                checksum=rng.choice((None, HeaderChecksum(0, 0), HeaderChecksum(0, rng.randrange(36)))),
                surplus=bytes(4 * rng.choice((0, 0, 0, 2))),
            )
            made = packet(header, ends)
            if rng.random() < 0.4:
                at = rng.randrange(min(len(made), header.octets))
                made = made[:at] + bytes((made[at] ^ 1 << rng.randrange(8),)) + made[at + 1 :]
            payloads.append(made)
        judge(bench, target, expect(payloads, required, ends), required)
        bench.shut(target)
