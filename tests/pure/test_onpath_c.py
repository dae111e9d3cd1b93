# SPDX-License-Identifier: Apache-2.0
"""A node on the path: the module's onpath.h, compiled with sanitizers, and gutctl.encap do the same to every packet."""

from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gutctl.encap import (
    EncapError,
    Gutless,
    MinPathMtu,
    Option,
    check_state,
    encode,
    lower_min_path_mtu,
    min_path_mtu_verdict,
    ones_sum,
    pad,
    seal,
)

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "kmod/include/uapi/linux/gutless.h"
SEED = 20261121
Case = tuple[int, bytes]
"""An MTU and a payload."""


def verdicts() -> dict[int, str]:
    """Attribute number -> verdict, as the uapi header has them."""
    body = re.search(r"enum gutless_onpath_attr \{(.*?)\};", HEADER.read_text(), re.DOTALL)
    assert body
    names = re.findall(r"^\s*GUTLESS_A_ONPATH_(\w+),", body[1], re.MULTILINE)
    return {number: name.removeprefix("LEFT_").lower().replace("_", "-") for number, name in enumerate(names)}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """onpath_c.c, compiled."""
    compiler = shutil.which("gcc")
    assert compiler, "gcc is needed: apt-get install gcc libc6-dev"
    program = tmp_path_factory.mktemp("onpath") / "node"
    command = [compiler, "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-sign-compare"]
    command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += [f"-I{ROOT / 'kmod'}", f"-I{ROOT / 'kmod/include/uapi'}"]
    subprocess.run([*command, "-o", str(program), str(Path(__file__).with_name("onpath_c.c"))], check=True)
    return program


def compare(program: Path, cases: list[Case]) -> Counter[str]:
    """Both do it. Returns how often each verdict came out."""
    records = b"".join(struct.pack("!IH", mtu, len(payload)) + payload for mtu, payload in cases)
    done = subprocess.run([str(program)], check=False, input=records, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert len(done.stdout) == sum(1 + len(payload) for _, payload in cases)
    names, at = verdicts(), 0
    seen: Counter[str] = Counter()
    for mtu, payload in cases:
        said, after = names[done.stdout[at]], done.stdout[at + 1 : at + 1 + len(payload)]
        at += 1 + len(payload)
        assert said == min_path_mtu_verdict(payload, mtu), (mtu, payload.hex())
        assert after == lower_min_path_mtu(payload, mtu), (mtu, payload.hex())
        assert (after == payload) == (said != "lowered")
        assert ones_sum(after) == ones_sum(payload), "the sum of the payload has changed"
        seen[said] += 1
    return seen


def area(rng: random.Random) -> bytes:
    """Options, mostly in order, minima among them, at odd and even places; of a multiple of four octets up to 124."""
    made = b""
    for _ in range(rng.randrange(7)):
        kind = rng.choice((0, 0, 1, 0x30, 0x30, 0x1E, 0x9E, rng.randrange(256)))
        size = rng.choice((4, 4, 4, 4, 4, 0, 3, 5)) if kind == 0x30 else rng.randrange(9)
        made += b"\0" if kind == 0 else bytes((kind, size)) + rng.randbytes(size)
    made = made[: rng.choice((124, 124, 124, len(made) // 2))]
    rest = -len(made) % 4
    return made + rng.choice((b"\0" * rest, rng.randbytes(rest)))


def near_misses(count: int) -> list[Case]:
    rng = random.Random(SEED)
    found = []
    for _ in range(count):
        options = area(rng)
        made = bytes((0x80 | rng.choice((0, 0x20)) | len(options) // 4, rng.randrange(256))) + b"\0\0" + options
        made += rng.randbytes(rng.randrange(40))
        if rng.random() < 0.9:
            made = seal(made) if rng.random() < 0.6 else made[:2] + rng.choice((b"\xff\xff", b"\0\1", rng.randbytes(2))) + made[4:]
        if rng.random() < 0.1:
            made = made[: rng.randrange(1, len(made) + 1)]
        found.append((rng.choice((0, 68, 576, 1280, 1400, 1500, 9000, 65534, 65535, 65536, 1 << 31, rng.randrange(65536))), made))
    return found


def test_near_misses(node: Path) -> None:
    """100,000 packets that are right or nearly so: each verdict comes up, and often."""
    seen = compare(node, near_misses(100_000))
    for verdict in ("lowered", "enough", "no-check", "no-option", "malformed"):
        assert seen[verdict] >= 1000, seen


def test_every_value_at_either_parity(node: Path) -> None:
    """All 65,536 minima, and Check at its ends: a Check of 0 never comes out, nor is one of 0xffff lost."""
    cases = []
    for value in range(65536):
        for front in (b"", b"\0"):
            octets = front + b"\x30\4" + struct.pack("!H", value) + b"\0\0"
            octets += bytes(8 - len(octets))
            check = (b"\xff\xff", b"\0\1", value.to_bytes(2, "big") if value else b"\1\0")[value % 3]
            cases.append((1280, b"\x82\4" + check + octets + b"\x45"))
    seen = compare(node, cases)
    assert seen == Counter({"lowered": 2 * (65535 - 1280), "enough": 2 * 1281})
    for mtu, payload in cases:
        assert lower_min_path_mtu(payload, mtu)[2:4] != b"\0\0"


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 5), st.binary(max_size=30), st.booleans())
def test_a_sealed_payload_stays_sealed(value: int, mtu: int, skip: int, inner: bytes, control: bool) -> None:
    """And says the lesser of the two."""
    options = pad([*[Option(0)] * skip, MinPathMtu(value, 1400, True).option()])
    payload = seal(encode(Gutless(1 if control else 4, options, control=control), inner))
    after = lower_min_path_mtu(payload, mtu)
    assert check_state(after) == "ok"
    at = 4 + skip + 2
    assert int.from_bytes(after[at : at + 2], "big") == min(value, mtu)
    assert after[:2] + after[4:at] + after[at + 2 :] == payload[:2] + payload[4:at] + payload[at + 2 :]


@given(st.binary(max_size=60), st.integers(0, 0xFFFFFFFF))
def test_whatever_the_octets(octets: bytes, mtu: int) -> None:
    after = lower_min_path_mtu(octets, mtu)
    assert len(after) == len(octets)
    if min_path_mtu_verdict(octets, mtu) != "lowered":
        assert after == octets


@pytest.mark.parametrize(
    ("octets", "after"),
    [
        # 9000 at an even place, 1400: 0x2328 - 0x0578 = 0x1db0 is added to Check
        ("82041111 30042328 00000000 45", "82042ec1 30040578 00000000 45"),
        # at an odd one the octets of both numbers are swapped: 0x2823 - 0x7805 is 0xb01d in one's complement
        ("82041111 00300423 28000000 45", "8204c12e 00300405 78000000 45"),
        # a carry comes back in
        ("8204f000 30042328 00000000 45", "82040db1 30040578 00000000 45"),
        # minus zero, and one more
        ("8204e24f 30042328 00000000 45", "8204ffff 30040578 00000000 45"),
        ("8204e250 30042328 00000000 45", "82040001 30040578 00000000 45"),
    ],
)
def test_said_by_hand(node: Path, octets: str, after: str) -> None:
    payload = bytes.fromhex(octets)
    assert lower_min_path_mtu(payload, 1400) == bytes.fromhex(after)
    compare(node, [(1400, payload)])


def test_an_mtu_that_is_none() -> None:
    for wrong in (-1, 1 << 32):
        with pytest.raises(EncapError):
            lower_min_path_mtu(b"\x80\4\0\1", wrong)


def test_other_formats() -> None:
    for octets in (b"", b"\x45", b"\x02\4\0\0", b"\xc0"):
        assert min_path_mtu_verdict(octets, 1400) == "other"
        assert lower_min_path_mtu(octets, 0) == octets
