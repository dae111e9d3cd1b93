# SPDX-License-Identifier: Apache-2.0
"""Bad headers: dropped, counted once under the right reason and nowhere else; the next good packet passes.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)

Verdicts come from gutctl.encap, which was written apart from the module; those of
test_said_by_hand are literals.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from inject import Bench, Case, Target, inner
from net import Net

from gutctl.encap import Dropped, receive_verdict, seal

ALL = ("gue0", "bare", "gutless")
GUE, GUTLESS = bytes.fromhex("00040000"), bytes.fromhex("80040000")
V4, V6 = inner(4, b"payload"), inner(6, b"payload")
FORMATS = {
    "bare4": V4,
    "bare6": V6,
    "gue4": GUE + V4,
    "gue6": bytes.fromhex("00290000") + V6,
    "gue-surplus": bytes.fromhex("0204000000000000ffffffff") + V4,
    "gutless4": GUTLESS + V4,
    "gutless6": bytes.fromhex("80290000") + V6,
    "gutless-options": bytes.fromhex("83040000 1e 03 aabbcc 00 01 04 00000000") + V4,
    "gutless-check": seal(GUTLESS + V4),
}


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    yield made
    made.close()


@pytest.fixture(scope="module", params=[4, 6], ids=["over-v4", "over-v6"])
def target(bench: Bench, request: pytest.FixtureRequest) -> Target:
    """A port with the default settings."""
    return bench.open(request.param)


def expect(payloads: list[bytes], **how: object) -> list[Case]:
    """The payloads, each with the verdict of gutctl.encap."""
    cases: list[Case] = []
    for payload in payloads:
        said = receive_verdict(payload, **how)  # type: ignore[arg-type]
        cases.append((payload, said.reason if isinstance(said, Dropped) else ""))
    return cases


@pytest.mark.parametrize("name", FORMATS)
def test_every_truncation(bench: Bench, target: Target, name: str) -> None:
    whole = FORMATS[name]
    cases = expect([whole[:size] for size in range(len(whole) + 1)])
    assert cases[0][1] == "truncated"
    assert cases[-1][1] == ""
    assert bench.judge(target, cases) == len(whole) + 1


@pytest.mark.parametrize("fou", [4, 41, 47, 143])
@pytest.mark.parametrize("family", [4, 6])
def test_every_truncation_of_fou(bench: Bench, family: int, fou: int) -> None:
    whole = {4: V4, 41: V6, 47: bytes.fromhex("00000800") + V4, 143: bytes(12) + b"\x08\0" + V4}[fou]
    port = bench.open(family, fou=fou)
    smallest = {4: 20, 41: 40, 47: 4, 143: 14}[fou]
    before = bench.counters(port)
    for size in range(len(whole) + 1):
        bench.send(port, whole[:size])
    passed = len(whole) + 1 - smallest
    assert bench.change(port, before, len(whole) + 1) == {"inner": smallest, "packets": passed}
    bench.shut(port)


@pytest.mark.parametrize("first", [0x00, 0x80], ids=["gue", "gutless"])
def test_all_header_lengths_by_packet_lengths(bench: Bench, target: Target, first: int) -> None:
    """32 header lengths x packets of 0 to 140 octets; zeros are no options and no fields."""
    for hlen in range(32):
        head = bytes((first | hlen, 4, 0, 0)) + bytes(4 * hlen)
        whole = (head + V4 + bytes(140))[:140]
        cases = expect([whole[:size] for size in range(141)])
        verdicts = [verdict for _, verdict in cases]
        size = 4 + 4 * hlen
        room = 140 - size
        assert verdicts == ["truncated"] * size + ["inner"] * min(20, 141 - size) + [""] * max(0, room - 19)
        bench.judge(target, cases)


def test_first_octets(bench: Bench, target: Target) -> None:
    """All 256, each before something that would pass behind the right one."""
    payloads = [bytes((first, 4, 0, 0)) + bytes(124) + V4 for first in range(256)]
    cases = expect(payloads)
    by_first = [verdict for _, verdict in cases]
    assert set(by_first[0xC0:]) == set(by_first[0x50:0x60]) == set(by_first[0x70:0x80]) == {"variant"}
    assert set(by_first[0x20:0x40]) == set(by_first[0xA0:0xC0]) == {"control"}
    bench.judge(target, cases)


@pytest.mark.parametrize(
    "accept", [s for size in (1, 2, 3) for s in itertools.combinations(ALL, size)], ids="+".join
)
@pytest.mark.parametrize("family", [4, 6])
def test_only_accepted_formats(bench: Bench, family: int, accept: tuple[str, ...]) -> None:
    port = bench.open(family, accept=accept)
    heads = {"gue0": GUE, "bare": b"", "gutless": GUTLESS}
    cases = [(head + V4, "" if name in accept else "format") for name, head in heads.items()]
    cases += [(bytes((first,)) + bytes(63), "variant") for first in (0x50, 0x70, 0xC0, 0xFF)]
    assert cases == expect([case[0] for case in cases], accept=accept)
    bench.judge(port, cases, header=heads[accept[0]])
    bench.shut(port)


def options(*octets: str) -> bytes:
    """A GUT-less packet with the option area given in hex, whole words."""
    area = bytes.fromhex("".join(octets))
    assert len(area) % 4 == 0
    return bytes((0x80 | len(area) // 4, 4, 0, 0)) + area + V4


OPTIONS: dict[str, tuple[bytes, str]] = {
    "pad1": (options("00000000"), ""),
    "pad1 at the end": (options("1e01aa00"), ""),
    "padn 0": (options("01000000"), ""),
    "padn whole area": (options("01 02 0000"), ""),
    "padn 122": (options("01 7a", "00" * 122), ""),
    "padn overruns by one": (options("01 03 0000"), "options"),
    "padn overruns far": (options("01 ff 0000"), "options"),
    "padn without length": (options("000000 01"), "options"),
    "skipped": (options("1e 02 aabb"), ""),
    "skipped, no data": (options("3e 00 1e 00"), ""),
    "skipped, overruns by one": (options("1e 03 aabb"), "options"),
    "skipped, without length": (options("000000 1e"), "options"),
    "skipped, fills 124": (options("1e 7a", "55" * 122), ""),
    "skipped, fills 125": (options("1e 7b", "55" * 122), "options"),
    "drop 01": (options("5e 02 aabb"), "options"),
    "report 10": (options("9e 02 aabb"), "options"),
    "report 11": (options("de 02 aabb"), "options"),
    "drop behind skipped": (options("1e 00 5e 00"), "options"),
    "drop hidden in skipped data": (options("1e 02 5e 00"), ""),
    "remote checksum, odd": (options("59 04 0001 0002 0000"), "remcsum"),
    "group": (options("58 04 00000007 0000"), "options"),
    "change en route": (options("3e 02 aabb"), ""),
    "drop, change en route": (options("7e 02 aabb"), "options"),
    "first of two, then overrun": (options("1e 00 1e 05 00000000"), "options"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(bench: Bench, target: Target, name: str) -> None:
    payload, verdict = OPTIONS[name]
    assert expect([payload]) == [(payload, verdict)]
    bench.judge(target, [(payload, verdict)], header=GUTLESS)


def test_each_option_type(bench: Bench, target: Target) -> None:
    """All 256 types with two octets of data: by the two high bits alone, padding apart. (0x59 has four.)"""
    cases = [
        (options(f"{kind:02x} 02 0000"), "options" if kind >> 6 else "")
        for kind in range(1, 256)
    ]
    assert cases == expect([case[0] for case in cases])
    assert bench.judge(target, cases) == 255


@pytest.mark.parametrize("odd", [False, True], ids=["even", "odd"])
@pytest.mark.parametrize("summed", [True, False], ids=["udp-sum", "no-udp-sum"])
def test_check_word(bench: Bench, summed: bool, odd: bool) -> None:
    """Check counts where there is no UDP checksum, and only there."""
    port = bench.open(4)
    bare = options("1e 02 1234") + (b"\x99" if odd else b"")
    right = seal(bare)
    assert right[2:4] != b"\0\0"
    cases: list[Case] = [(right, "")]
    for at in range(len(right)):
        if at in (0, 1, 4, 5) or 8 <= at < 28:
            continue  # those octets have reasons of their own, or are judged later
        payload = right[:at] + bytes((right[at] ^ 0x40,)) + right[at + 1 :]
        cases.append((payload, "" if summed else "check"))
    cases.append((bare, ""))  # Check 0: not in use
    assert cases == expect([case[0] for case in cases], udp_checksum=summed)
    bench.judge(port, cases, header=GUTLESS, summed=summed)
    bench.shut(port)


@pytest.mark.parametrize("head", [GUE, GUTLESS], ids=["gue", "gutless"])
def test_every_inner_protocol(bench: Bench, target: Target, head: bytes) -> None:
    """All 256: 0 is none, 4 must be IPv4 and 41 IPv6, GRE and Ethernet pass, anything else was not asked for."""
    cases: list[Case] = []
    for protocol in range(256):
        verdict = {0: "protocol-zero", 4: "", 41: "inner", 47: "", 143: ""}.get(protocol, "protocol")
        cases.append((head[:1] + bytes((protocol,)) + head[2:] + V4, verdict))
    cases.append((head[:1] + bytes((41,)) + head[2:] + V6, ""))
    cases.append((head[:1] + bytes((4,)) + head[2:] + V6, "inner"))
    assert cases == expect([case[0] for case in cases])
    assert bench.judge(target, cases) == 258


SAID_BY_HAND: list[tuple[str, str]] = [
    ("", "truncated"),
    ("00", "truncated"),
    ("000400", "truncated"),
    ("00040000", "inner"),
    ("1f040000" + "00" * 123, "truncated"),
    ("9f040000" + "00" * 123, "truncated"),
    ("00040000" + "45" + "00" * 18, "inner"),
    ("00040000" + "45" + "00" * 19, ""),
    ("00040000" + "65" + "00" * 19, "inner"),
    ("00290000" + "60" + "00" * 38, "inner"),
    ("00290000" + "60" + "00" * 39, ""),
    ("00048000" + "45" + "00" * 19, "length"),
    ("01048000" + "00000000" + "45" + "00" * 19, "flags"),
    ("00040002" + "45" + "00" * 19, "flags"),
    ("1f045000" + "00" * 124 + "45" + "00" * 19, "flags"),
    ("20048000" + "45" + "00" * 19, "length"),
    ("01040200" + "00140014" + "45" + "00" * 21, ""),
    ("01040200" + "00140014" + "45" + "00" * 20, "remcsum"),
    ("02040001" + "80000000" + "00000013" + "45" + "00" * 19, "remcsum"),
    ("02040001" + "80000000" + "00000012" + "45" + "00" * 19, ""),
    ("82040000" + "590400140012" + "0000" + "45" + "00" * 40, "remcsum"),
    ("82040000" + "590400120012" + "0000" + "45" + "00" * 19, ""),
    ("20040000" + "45" + "00" * 19, "control"),
    ("20000000" + "45" + "00" * 19, "control"),
    ("a0040000" + "45" + "00" * 19, "control"),
    ("a1040000" + "1e020000", "control"),
    ("a1040000" + "5e020000", "options"),
    ("a0010000" + "000100", "control"),
    ("a0030000" + "01040000" + "00" * 65, "control"),
    ("81000000" + "5e020000" + "45" + "00" * 19, "options"),
    ("00000000" + "45" + "00" * 19, "protocol-zero"),
    ("80000000" + "45" + "00" * 19, "protocol-zero"),
    ("00110000" + "00" * 8, "protocol"),
    ("80060000" + "00" * 20, "protocol"),
    ("002f0000" + "000000", "inner"),
    ("002f0000" + "00000000", ""),
    ("008f0000" + "00" * 13, "inner"),
    ("45" + "00" * 18, "inner"),
    ("45" + "00" * 19, ""),
    ("60" + "00" * 38, "inner"),
    ("60" + "00" * 39, ""),
    ("50" + "00" * 39, "variant"),
    ("7f" + "00" * 39, "variant"),
    ("c0" + "00" * 39, "variant"),
    ("ff", "variant"),
]


def test_said_by_hand(bench: Bench, target: Target) -> None:
    """Worked out by hand from docs/protocol.md: what both programs could have wrong alike."""
    cases = [(bytes.fromhex(octets), verdict) for octets, verdict in SAID_BY_HAND]
    assert cases == expect([case[0] for case in cases])
    assert bench.judge(target, cases) == len(SAID_BY_HAND)


def test_octets_are_those_of_the_inner_packet(bench: Bench, target: Target) -> None:
    before = bench.counters(target)
    bench.send(target, options("1e 02 aabb"))
    assert bench.change(target, before, 1) == {"packets": 1}
    after = bench.counters(target)
    assert after["octets"] - before["octets"] == len(V4)
