# SPDX-License-Identifier: Apache-2.0
"""Option auth at a port: packets signed by gutctl, whole, damaged, repeated, old, by nobody; judged by both alike.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import optionrules
import pytest
import rawnl
from authkeys import KEY, OTHER, Judge, attribute, blank, next_number, require, secret, signed, unsigned
from inject import Bench, inner
from net import Net
from optionrules import raw

from gutctl._wire.auth import SKEW_NS, WINDOW, Key, sign
from gutctl._wire.options import Option, pad
from gutctl.encap import Gue, Gutless, ReceiveRule, RuleAction, encode

SECOND = 10**9
SESSION, TIMING, MUTABLE = Option(0x5A, bytes(range(1, 9))), Option(0x1C, bytes(range(12))), Option(0x3E, b"\1\2\3")


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    yield made
    made.close()


@pytest.fixture(params=[4, 6], ids=["over-v4", "over-v6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def judge(bench: Bench, family: int) -> Iterator[Judge]:
    made = Judge(bench, family, KEY, OTHER)
    yield made
    made.shut()


def rearranged(chance: random.Random) -> bytes:
    """A packet with option auth anywhere among others, of any size, not signed yet."""
    options = [blank()]
    if chance.random() < 0.5:
        options.append(Option(0x5A, chance.randbytes(8)))
    for _ in range(chance.randrange(4)):
        options.append(Option(chance.choice((0, 1, 0x1C, 0x1E, 0x30, 0x3E)), b""))
        if options[-1].type:
            options[-1] = Option(options[-1].type, chance.randbytes(chance.randrange(12)))
    chance.shuffle(options)
    version = chance.choice((4, 6))
    return encode(Gutless({4: 4, 6: 41}[version], pad(options)), inner(version, chance.randbytes(chance.choice((0, 1, 63, 64, 65, 700, 1200)))))


def test_what_gutctl_signs_passes(judge: Judge) -> None:
    chance = random.Random(5)
    payloads = [sign(rearranged(chance), chance.choice((KEY, OTHER)), next_number()) for _ in range(300)]
    assert judge.all(payloads) == {"packets": 300}


def test_every_bit(judge: Judge) -> None:
    """Each bit of a signed packet flipped: what the way may change passes, nothing else does."""
    size = len(signed(KEY, SESSION, MUTABLE))
    passing = set()
    found = set()
    for bit in range(8 * size):
        packet = bytearray(signed(KEY, SESSION, MUTABLE))
        packet[bit // 8] ^= 0x80 >> bit % 8
        wanted = judge.expect(bytes(packet))
        assert judge.send(bytes(packet)) == {wanted: 1}, f"bit {bit % 8} of octet {bit // 8}"
        found.add(wanted)
        if wanted == "packets":
            passing.add(bit // 8)
    assert found >= {"packets", "auth-tag", "auth-key", "auth-missing", "auth-time", "options", "variant"}
    # Check, and the three octets of the option that may be changed
    assert passing == {2, 3, 16, 17, 18}


def test_direction_is_part_of_it(judge: Judge) -> None:
    """A packet that comes back to its sender, who has the same secret for the other direction, does not pass."""
    there, back = Key.of(7, KEY.secret), Key.of(7, KEY.secret, direction=1)
    assert judge.each([signed(there), signed(back)]) == {"packets", "auth-tag"}
    judge.set(attribute(back))
    judge.keys[0] = back
    judge.seen.clear()
    assert judge.each([signed(back)]) == {"packets"}
    assert judge.each([signed(there)]) == {"auth-tag"}


def test_without_who_signed(judge: Judge) -> None:
    """Every format without option auth is missing it, the ones of the short way as well; a key the port has not is unknown."""
    data = inner(4, b"payload")
    bare = [data, inner(6, b"payload"), encode(Gue(4), data), encode(Gutless(4), data), unsigned(TIMING)]
    assert judge.each(bare) == {"auth-missing"}
    stranger = Key.of(9, KEY.secret)
    assert judge.each([signed(stranger), unsigned(blank()), unsigned(blank(9))]) == {"auth-key"}
    assert judge.each([unsigned(blank(7)), signed(Key.of(7, secret(5)))]) <= {"auth-tag", "auth-time"}
    judge.set(require(0))
    judge.required = False
    assert judge.each(bare) == {"packets"}
    assert judge.each([signed(stranger)]) == {"auth-key"}
    assert judge.each([signed(Key.of(7, secret(5)))]) == {"auth-tag"}
    assert judge.each([signed(KEY)]) == {"packets"}
    judge.set(require())
    judge.required = True
    assert judge.each(bare) == {"auth-missing"}


def test_beside_a_rule_that_is_met(judge: Judge) -> None:
    """Options that are exactly those of the port's rules are no substitute for who signed."""
    group = Option(0x58, bytes((0, 0, 0, 7)))
    judge.rules = (ReceiveRule(0x58, RuleAction.REQUIRE, value=group.data),)
    judge.set(*map(optionrules.attribute, judge.rules))
    assert judge.each([unsigned(group)]) == {"auth-missing"}
    assert judge.each([signed(KEY, group)]) == {"packets"}
    judge.set(require(0))
    judge.required = False
    assert judge.each([unsigned(group)]) == {"packets"}
    assert judge.each([signed(Key.of(7, secret(5)), group)]) == {"auth-tag"}


def test_control_messages(judge: Judge) -> None:
    """They are acted on where they are signed; of those by a stranger nothing is answered."""

    def echo(*options: Option) -> bytes:
        return encode(Gutless(1, pad(options), control=True), b"\0\1\0\2")

    assert judge.each([sign(echo(blank()), KEY, next_number())]) == {"echo-requests"}
    assert judge.each([echo()]) == {"auth-missing"}
    assert judge.each([echo(blank(7))]) <= {"auth-tag", "auth-time"}
    assert judge.each([echo(blank(9))]) == {"auth-key"}
    hello = encode(Gutless(4, pad([blank()]), control=True), bytes(4))
    assert judge.each([sign(hello, KEY, next_number())]) == {"control"}


def test_malformed(judge: Judge) -> None:
    twice = raw(blank(7).encode() + blank(7).encode())
    short = raw(bytes((0x5B, 25)) + bytes(26))
    assert judge.each([twice, short, signed(KEY, Option(0x9E))]) == {"options"}


def test_again(judge: Judge) -> None:
    """The same packet twice, and after the port was changed in other ways, or got the same key once more."""
    one = signed(KEY)
    assert judge.each([one]) == {"packets"}
    for body in ([], [rawnl.u8("A_PORT_REMCSUM_NOPARTIAL", 1)], [attribute(KEY)], [require(1), attribute(KEY), attribute(OTHER)]):
        judge.set(*body)
        assert judge.each([one]) == {"auth-replay"}
    assert judge.each([signed(OTHER, sequence=int.from_bytes(one[8:16], "big"))]) == {"packets"}, "numbers are of one key"


def test_out_of_order(judge: Judge) -> None:
    """Numbers in any order within the window, then again, then older ones: as many are remembered as are said."""
    chance = random.Random(9)
    base = time.time_ns()
    numbers = [base + 1000 * n + chance.randrange(1000) for n in range(WINDOW + 200)]
    late = numbers[150:200]
    order = [n for n in numbers if n not in set(late)]
    for at in range(0, len(order), 100):
        part = order[at : at + 100]
        chance.shuffle(part)
        order[at : at + 100] = part
    packets = {n: signed(KEY, sequence=n) for n in numbers}
    assert judge.all([packets[n] for n in order[: WINDOW - 24]]) == {"packets": WINDOW - 24}
    # gaps are filled in from below all there is, and from within
    assert judge.all([packets[n] for n in late]) == {"packets": 50}
    assert judge.all([packets[n] for n in order[WINDOW - 24 :]]) == {"packets": 174}
    assert len(judge.seen[7].seen) == WINDOW
    again = judge.all([packets[n] for n in numbers])
    assert again == {"auth-replay": WINDOW + 200}
    lowest = judge.seen[7].seen[0]
    assert judge.each([signed(KEY, sequence=lowest - 1)]) == {"auth-replay"}
    assert judge.each([signed(KEY, sequence=lowest + 1)]) == {"packets"}
    # that one pushed out the lowest
    assert judge.each([signed(KEY, sequence=lowest)]) == {"auth-replay"}


def test_a_receiver_without_state_asks_its_clock(bench: Bench, family: int) -> None:
    for away, wanted in (
        (-SKEW_NS - 9 * SECOND, "auth-time"),
        (SKEW_NS + 9 * SECOND, "auth-time"),
        (-SKEW_NS + 9 * SECOND, "packets"),
        (SKEW_NS - 9 * SECOND, "packets"),
    ):
        judge = Judge(bench, family, KEY)
        assert judge.each([signed(KEY, sequence=time.time_ns() + away)]) == {wanted}
        judge.shut()
    judge = Judge(bench, family, KEY)
    now = time.time_ns()
    assert judge.each([signed(KEY, sequence=n) for n in (0, 1, now // 2, 2 * now, 2**64 - 1)]) == {"auth-time"}
    # what was dropped has left no trace, and with state a sender's clock may go ahead
    assert judge.each([signed(KEY, sequence=now)]) == {"packets"}
    assert judge.each([signed(KEY, sequence=now + 10**6 * SECOND)]) == {"packets"}
    assert judge.each([signed(KEY, sequence=now + 10**6 * SECOND + 1), signed(KEY, sequence=now + SECOND)]) == {"packets"}
    assert judge.each([signed(KEY, sequence=now - SKEW_NS - 9 * SECOND)]) == {"auth-time"}
    judge.shut()


def test_a_wrong_tag_leaves_no_trace(judge: Judge) -> None:
    """A number counts as come only where its tag was right: nobody can use up those of others."""
    number = next_number()
    assert judge.each([signed(Key.of(7, secret(5)), sequence=number + n * SECOND) for n in range(20)]) == {"auth-tag"}
    assert judge.each([signed(KEY, sequence=number)]) == {"packets"}


def test_keys_change_while_packets_come(judge: Judge) -> None:
    """A new key is there before the old one goes: none of the packets that either signed is lost."""
    new = Key.of(300, secret(3))
    assert judge.all([signed(KEY) for _ in range(20)]) == {"packets": 20}
    judge.set(attribute(new))
    judge.keys.append(new)
    mixed = [signed(one) for one in (KEY, new) * 20]
    assert judge.all(mixed) == {"packets": 40}
    judge.set(rawnl.u16("A_PORT_KEY_DEL", KEY.id))
    judge.keys.remove(KEY)
    assert judge.all([signed(new) for _ in range(20)]) == {"packets": 20}
    assert judge.each(mixed[:2]) == {"auth-key", "auth-replay"}
    # a secret in place of another under one id
    newer = Key.of(300, secret(4))
    judge.set(attribute(newer))
    judge.keys[-1] = newer
    judge.seen.clear()
    assert judge.each([signed(new), signed(newer)]) == {"auth-tag", "packets"}


@pytest.mark.parametrize("size", [1400, 3000, 20000])
def test_fragments(judge: Judge, size: int) -> None:
    """What comes in pieces is signed as a whole; one octet of any piece counts."""
    assert judge.each([signed(KEY, SESSION, data=bytes(size))]) == {"packets"}
    for at in (100, size // 2, size):
        packet = bytearray(signed(KEY, data=bytes(size)))
        packet[at] ^= 1
        assert judge.each([bytes(packet)]) == {"auth-tag"}


def test_other_ports_and_namespaces_know_nothing_of_it(bench: Bench, judge: Judge, family: int) -> None:
    one = signed(KEY)
    assert judge.each([one]) == {"packets"}
    second = Judge(bench, family, KEY)
    assert second.each([one]) == {"packets"}
    second.shut()
    plain = bench.open(family)
    bench.judge(plain, [(one, "options"), (unsigned(TIMING), "")])
    bench.shut(plain)
