# SPDX-License-Identifier: Apache-2.0
"""Receive rules on the wire: each rule in each situation, judged by the kernel as gutctl.encap judges it.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import rawnl
from inject import Bench, Target
from net import Net
from optionrules import asked, attribute, expect, good_header, raw, rules_of, with_options

from gutctl.encap import Gue, Option, ReceiveRule, RuleAction, encode, seal
from gutctl.encap import Gutless as Header

GROUP, REMOTE, SESSION, AUTH = 0x58, 0x59, 0x5A, 0x5B
ONCE = {GROUP: 4, REMOTE: 4, SESSION: 8, AUTH: 26}
SEVEN, EIGHT = bytes((0, 0, 0, 7)), bytes((0, 0, 0, 8))
IGNORE, REQUIRE, DROP = RuleAction.IGNORE, RuleAction.REQUIRE, RuleAction.DROP


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    yield made
    made.close()


@pytest.fixture(params=[4, 6], ids=["over-v4", "over-v6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def opened(bench: Bench, family: int, rules: Sequence[ReceiveRule]) -> Target:
    return bench.open(family, *map(attribute, rules))


def judged(bench: Bench, target: Target, rules: Sequence[ReceiveRule], payloads: Sequence[bytes]) -> set[str]:
    """Send all, each to be counted as gutctl.encap says. Returns the verdicts there were."""
    cases = expect(payloads, rules)
    bench.judge(target, cases, header=good_header(rules))
    return {reason for _, reason in cases}


def situations(number: int) -> list[bytes]:
    """What a packet can be to a rule for a type: without, with one value or another, with it twice, beside others."""
    one, other, short = Option(number, SEVEN), Option(number, EIGHT), Option(number, b"\0\0\7")
    skipped, unknown = Option(0x1C, bytes(12)), Option(0x9E, b"x")
    plain = with_options()[4:]
    return [
        *(with_options(), with_options(version=6), plain, with_options(version=6)[4:], encode(Gue(4), plain)),
        *(with_options(one), with_options(one, version=6), with_options(other), with_options(short), with_options(Option(number))),
        *(with_options(skipped, one), with_options(one, skipped), with_options(skipped), with_options(Option(1, b"\0"), one)),
        with_options(unknown, one) if number != 0x9E else with_options(one, skipped),
        encode(Header(4, (Option(0), one, Option(0))), plain),
        *(raw(a.encode() + b.encode()) for a, b in ((one, one), (one, other), (other, one)) if number not in ONCE),
        *(raw(a.encode() + b.encode()) for a, b in ((one, one), (one, other)) if number == GROUP),
    ]


@pytest.mark.parametrize("number", [0x1E, 0x3E, 0x5E, 0x9E, 0xDE, GROUP], ids=hex)
@pytest.mark.parametrize(
    ("words", "verdicts"),
    [
        ((IGNORE, False, None), {""}),
        ((IGNORE, True, None), {""}),
        ((REQUIRE, False, None), {"", "option-missing"}),
        ((REQUIRE, True, None), {"", "option-missing"}),
        ((REQUIRE, False, SEVEN), {"", "option-missing", "option-value"}),
        ((REQUIRE, True, SEVEN), {"", "option-missing", "option-value"}),
        ((DROP, False, None), {"", "option-refused"}),
    ],
    ids=["ignore", "deliver", "require", "require-deliver", "require-value", "require-value-deliver", "drop"],
)
def test_each_rule_in_each_situation(
    bench: Bench, family: int, number: int, words: tuple[RuleAction, bool, bytes | None], verdicts: set[str]
) -> None:
    rules = [ReceiveRule(number, *words)]
    target = opened(bench, family, rules)
    payloads = situations(number)
    seen = judged(bench, target, rules, payloads)
    # beside an unknown option that wants dropping, and where group is malformed, it is that
    assert seen - {"options"} == verdicts
    bench.shut(target)


def test_every_type_with_and_without_a_rule(bench: Bench, family: int) -> None:
    """All 256, alone in a header: without a rule their action bits decide, a rule to ignore lets all pass, one to drop none."""
    def payloads() -> list[bytes]:
        return [raw((bytes((number, ONCE.get(number, 2))) + bytes(30))[:32]) for number in range(256)]

    target = bench.open(family)
    bare = expect(payloads(), ())
    # 64 types say that they may be skipped; remote checksum is known, and here sums from 0 to 0
    assert sum(reason == "" for _, reason in bare) == 65
    bench.judge(target, bare)
    numbers = [number for number in range(2, 256) if number != REMOTE]
    # 0 is one octet of padding, and what is behind it here an option of type 2
    for action, passing in ((IGNORE, 256), (DROP, 2)):
        rules = [ReceiveRule(number, action) for number in numbers]
        bench.netlink.do("PORT_SET", target.key, *map(attribute, rules))
        assert set(rules_of(bench.netlink, target.key)) == set(numbers)
        cases = expect(payloads(), rules)
        assert sum(reason == "" for _, reason in cases) == passing
        bench.judge(target, cases)
    bench.netlink.do("PORT_SET", target.key, *(asked(number, None) for number in numbers))
    assert rules_of(bench.netlink, target.key) == {}
    bench.judge(target, bare)
    bench.shut(target)


def test_require_with_every_type(bench: Bench, family: int) -> None:
    target = bench.open(family)
    for number in range(2, 256):
        if number == REMOTE:
            continue
        data = bytes(ONCE.get(number, 3))
        rule = ReceiveRule(number, REQUIRE, value=data)
        bench.netlink.do("PORT_SET", target.key, attribute(rule))
        before = bench.counters(target)
        bench.send(target, with_options())
        bench.send(target, with_options(Option(number, data)))
        bench.send(target, with_options(Option(number, b"\1" + data[1:])))
        bench.send(target, with_options()[4:])
        counted = bench.change(target, before, 4)
        assert counted == {"packets": 1, "option-missing": 2, "option-value": 1}, f"0x{number:02x}"
        bench.netlink.do("PORT_SET", target.key, asked(number, None))
    bench.shut(target)


@pytest.mark.parametrize("number", [GROUP, SESSION, AUTH], ids=hex)
@pytest.mark.parametrize("action", [None, IGNORE, REQUIRE, DROP], ids=str)
def test_what_stands_there_once(bench: Bench, family: int, number: int, action: RuleAction | None) -> None:
    """Twice, or of another length: malformed, whatever the rules."""
    rules = [ReceiveRule(number, action)] if action else []
    target = opened(bench, family, rules)
    size = ONCE[number]
    one = bytes((number, size)) + bytes(size)
    twice = [one + one, one + b"\1\2\0\0" + one]
    lengths = [bytes((number, n)) + bytes(n) for n in range(123) if n != size]
    payloads = [raw(area + bytes(-len(area) % 4)) for area in (*twice, *lengths)]
    cases = expect(payloads, rules)
    assert {reason for _, reason in cases} == {"options"}
    bench.judge(target, cases, header=good_header(rules, bytes(size)))
    bench.shut(target)


@pytest.mark.parametrize("kind", [0x1E, 0x5E, GROUP, 0xFE], ids=hex)
def test_every_length_that_an_option_may_claim(bench: Bench, family: int, kind: int) -> None:
    """0 to 255 octets of data in an area of 124, and of 8: what overruns is malformed, whatever the rules."""
    rules = [ReceiveRule(kind, IGNORE)]
    target = opened(bench, family, rules)
    areas = [(bytes((kind, size)) + bytes(122))[:room] for size in range(256) for room in (8, 124)]
    assert judged(bench, target, rules, list(map(raw, areas))) == {"", "options"}
    bench.shut(target)


def test_pads_are_no_options(bench: Bench, family: int) -> None:
    """Padding around and within, and an option's octets in padding or in another option's data, are not seen as options."""
    rules = [ReceiveRule(0x3E, REQUIRE, value=SEVEN), ReceiveRule(0x9E, DROP)]
    target = opened(bench, family, rules)
    good, bad = Option(0x3E, SEVEN).encode(), Option(0x9E, b"").encode()
    areas = [
        *(good, b"\0" * 4 + good, good + b"\0" * 8, b"\1\0" + good + b"\1\0\0\0", b"\0\1\1\0" + good),
        *(good + b"\1\2" + bad, good + b"\x1c\2" + bad, b"\1\4" + bad + bad + good, good + b"\1\5\0\1\0" + bad),
        *(b"\1\6" + good, b"\x1c\6" + good, b"\1\7\0" + good, good + bad, bad + good, good + b"\0\0" + bad),
        *(b"\1\3\0\0\0" + bad + b"\0" + good, good + b"\0\1", good + b"\1\3\0", good + bad[:1]),
    ]
    verdicts = judged(bench, target, rules, [raw(area + bytes(-len(area) % 4)) for area in areas])
    assert verdicts == {"", "option-missing", "option-refused", "options"}
    bench.shut(target)


def test_said_by_hand(bench: Bench, family: int) -> None:
    """A port of virtual network 7 that wants no 0x1e: verdicts from the page, not from a program."""
    rules = [ReceiveRule(GROUP, REQUIRE, value=SEVEN), ReceiveRule(0x1E, DROP), ReceiveRule(0xDE, IGNORE)]
    target = opened(bench, family, rules)
    packet = with_options()[4:]
    bench.judge(
        target,
        [
            (packet, "option-missing"),
            (bytes.fromhex("00040000") + packet, "option-missing"),
            (bytes.fromhex("80040000") + packet, "option-missing"),
            (bytes.fromhex("82040000 580400000007 0000") + packet, ""),
            (bytes.fromhex("82040000 580400000008 0000") + packet, "option-value"),
            (bytes.fromhex("82040000 580400000007 1e00") + packet, "option-refused"),
            (bytes.fromhex("82040000 1e00 580400000008") + packet, "option-refused"),
            (bytes.fromhex("82040000 580400000008 1e00") + packet, "option-value"),
            (bytes.fromhex("82040000 580400000007 de00") + packet, ""),
            (bytes.fromhex("82040000 580400000007 9e00") + packet, "options"),
            (bytes.fromhex("81040000 1e000000") + packet, "option-refused"),
            (bytes.fromhex("83040000 580400000007 580400000007") + packet, "options"),
            (bytes.fromhex("82040000 580300000007 0000") + packet, "options"),
            # what is amiss with the inner packet is seen after the rules
            (bytes.fromhex("82110000 580400000007 0000") + packet, "protocol"),
            (bytes.fromhex("82110000 580400000008 0000") + packet, "option-value"),
            (bytes.fromhex("82040000 580400000007 0000") + b"\x65", "inner"),
        ],
        header=good_header(rules),
    )
    bench.shut(target)


def test_exactly_what_is_required_and_all_that_looks_like_it(bench: Bench, family: int) -> None:
    """Where the rules say octet by octet what has to come, that passes at one glance, and nothing else does by it."""
    first, second = ReceiveRule(GROUP, REQUIRE, value=bytes((0, 0, 0, 7))), ReceiveRule(0x3E, REQUIRE, value=SEVEN)
    group, other = Option(GROUP, bytes((0, 0, 0, 7))), Option(0x3E, SEVEN)
    # packets without a UDP checksum come over IPv6 only where it was asked for
    target = bench.open(family, attribute(first), attribute(second), *([rawnl.u8("A_PORT_ZERO_CSUM6", 1)] if family == 6 else []))
    exact = with_options(group, other)
    ways = [
        exact,
        with_options(group, other, version=6),
        with_options(other, group),
        with_options(group, other, other),
        with_options(group, other, Option(0x1E, b"more")),
        raw(group.encode() + other.encode() + bytes(4)),
        raw(bytes(4) + group.encode() + other.encode()),
        with_options(group),
        with_options(other),
        with_options(Option(GROUP, bytes((0, 0, 0, 8))), other),
        with_options(group, Option(0x3E, EIGHT)),
        with_options(group, Option(0x3E, SEVEN[:-1])),
        bytes((exact[0] + 1, *exact[1:])),
        bytes((exact[0] - 1, *exact[1:])),
        bytes((exact[0], 6, *exact[2:])),
        bytes((exact[0] | 0x20, *exact[1:])),
        bytes((exact[0] & 0x1F, *exact[1:])),
        exact[:20],
        with_options(),
        with_options()[4:],
    ]
    assert judged(bench, target, [first, second], ways) >= {"", "option-missing", "option-value"}

    # counted once by each rule, as by a closer look
    before = rules_of(bench.netlink, target.key)
    counters = bench.counters(target)
    for payload in (exact, exact, with_options(other, group)):
        bench.send(target, payload)
    assert bench.change(target, counters, 3) == {"packets": 3}
    now = rules_of(bench.netlink, target.key)
    assert {number: now[number].stats.matched - before[number].stats.matched for number in now} == {GROUP: 3, 0x3E: 3}

    # Check is looked at where UDP has no checksum
    spoilt = bytes((*exact[:2], 0x12, 0x34, *exact[4:]))
    bench.send(target, seal(exact), summed=False)
    bench.send(target, spoilt, summed=False)
    assert bench.change(target, counters, 5) == {"packets": 4, "check": 1}
    bench.shut(target)


def test_a_rule_counts_what_it_did(bench: Bench, family: int) -> None:
    rules = [ReceiveRule(0x3E, REQUIRE, value=SEVEN), ReceiveRule(0x1E, DROP), ReceiveRule(0x5E, IGNORE)]
    target = opened(bench, family, rules)
    right, wrong = Option(0x3E, SEVEN), Option(0x3E, EIGHT)
    sent = [
        *([with_options(right)] * 3),
        with_options(right, right, Option(0x5E)),
        with_options(),
        with_options()[4:],
        with_options(wrong, Option(0x5E)),
        with_options(right, Option(0x1E)),
        with_options(right, Option(0x1E), Option(0x1E)),
    ]
    before = bench.counters(target)
    for payload in sent:
        bench.send(target, payload)
    found = bench.change(target, before, len(sent))
    assert found == {"packets": 4, "option-missing": 2, "option-value": 1, "option-refused": 2}
    now = rules_of(bench.netlink, target.key)
    stats = {number: (rule.stats.matched, rule.stats.dropped, rule.stats.delivered) for number, rule in now.items()}
    assert stats == {0x3E: (5, 3, 0), 0x1E: (0, 2, 0), 0x5E: (1, 0, 0)}

    # the same rule again leaves its counters, another one for the type begins anew, and so does one that comes back
    bench.netlink.do("PORT_SET", target.key, attribute(rules[0]), attribute(ReceiveRule(0x1E, IGNORE)), asked(0x5E, None))
    bench.netlink.do("PORT_SET", target.key, attribute(rules[2]), rawnl.u8("A_PORT_ANY_SOURCE", 1))
    now = rules_of(bench.netlink, target.key)
    assert now[0x3E].stats.matched == 5
    assert (now[0x1E].action, now[0x1E].stats.dropped) == (IGNORE, 0)
    assert now[0x5E].stats.matched == 0
    bench.shut(target)


def test_a_live_change_takes_effect_and_loses_nothing(bench: Bench, family: int) -> None:
    """While packets come, rules are swapped that each let them pass: every packet is counted as passed."""
    group = Option(GROUP, SEVEN)
    target = opened(bench, family, [ReceiveRule(GROUP, IGNORE)])
    before = bench.counters(target)
    sent = 0
    for n in range(60):
        value = (None, SEVEN)[n % 2]
        for _ in range(10):
            bench.send(target, with_options(group))
        sent += 10
        bench.netlink.do("PORT_SET", target.key, attribute(ReceiveRule(GROUP, REQUIRE, bool(n % 3), value)))
    assert bench.change(target, before, sent, 20) == {"packets": sent}
    bench.netlink.do("PORT_SET", target.key, attribute(ReceiveRule(GROUP, REQUIRE, value=EIGHT)))
    before = bench.counters(target)
    bench.send(target, with_options(group))
    assert bench.change(target, before, 1) == {"option-value": 1}
    bench.shut(target)
