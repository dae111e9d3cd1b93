# SPDX-License-Identifier: Apache-2.0
"""Profiles over netlink: every refusal by errno, sentence and attribute; all numbers; round trips.

    a namespace with nothing but lo; raw netlink alone
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from errno import EEXIST, EINVAL, ENOENT, ENOSPC, ERANGE

import pytest
from net import Net
from rawnl import NLM_F_DUMP, NLM_F_DUMP_INTR, RawNetlink, attr, n, nest, split, u8, u16, u32
from refusals import Refusal

GUTLESS = u8("A_PROFILE_FORMAT", 3)


def number(value: int) -> bytes:
    return u16("A_PROFILE_NUMBER", value)


def sport(low: int | None, high: int | None) -> bytes:
    return (b"" if low is None else u16("A_PROFILE_SPORT_MIN", low)) + (b"" if high is None else u16("A_PROFILE_SPORT_MAX", high))


REMOTE = u8("A_PROFILE_CSUM", 3)


@pytest.fixture(scope="module")
def netlink(module_net: Net, gutless: None) -> Iterator[RawNetlink]:
    """With two profiles that refused requests must leave as they are."""
    made = module_net.host("profiles").call(RawNetlink)
    made.do("PROFILE_ADD", number(1), GUTLESS, sport(4000, 5000))
    made.do("PROFILE_ADD", number(255), u8("A_PROFILE_FORMAT", 1), u8("A_PROFILE_CSUM", 2))
    yield made
    made.close()


def options(text: str) -> bytes:
    return attr(n("A_PROFILE_OPTIONS"), bytes.fromhex(text))


def rule(mark: int, profile: int, mask: int | None = None) -> bytes:
    inside = u32("A_RULE_MARK", mark) + u16("A_RULE_PROFILE", profile)
    return nest("A_PROFILE_RULE", inside + (b"" if mask is None else u32("A_RULE_MASK", mask)))


def add(body: bytes, error: int, sentence: str, attribute: str | int | None = None) -> Refusal:
    return Refusal("PROFILE_ADD", body, error, sentence, attribute)


def change(body: bytes, error: int, sentence: str, attribute: str | int | None = None) -> Refusal:
    return Refusal("PROFILE_SET", number(1) + body, error, sentence, attribute)


MISSING = (EINVAL, "the profile's number is missing")
FORMAT = (EINVAL, "unknown format", "A_PROFILE_FORMAT")
CSUM = (EINVAL, "unknown checksum mode", "A_PROFILE_CSUM")
ORIGIN = (EINVAL, "unknown origin", "A_PROFILE_ORIGIN")
ZERO = (EINVAL, "source port 0 is no port")
BACKWARDS = (EINVAL, "the source port range ends before it begins")
UNFIT = (EINVAL, "a profile's number is 1 to 255, and 256 more for each 4 octets of its options, at least", "A_PROFILE_NUMBER")
STAYS = (EINVAL, "links keep room for the header that the profile's number tells, which this is longer than")
FOU_REMOTE = (EINVAL, "FOU has no header to say that a checksum is left to the receiver")
DRAFT = (EINVAL, "the draft's remote checksum is one of format GUE")
WHOLE = "options are whole words of 4 octets: the rest is padding"
BEHIND = "an option ends behind the options"
TWICE = "an option stands twice that may stand once"
ONLY = "only format GUT-less has options"
NONE = (ENOENT, "no such profile", "A_PROFILE_NUMBER")
LENGTH = (EINVAL, "invalid attribute length")

REFUSED: dict[str, Refusal] = {
    "no format": add(b"", EINVAL, "the format is missing"),
    "number alone": add(number(7), EINVAL, "the format is missing"),
    "format 0": add(u8("A_PROFILE_FORMAT", 0), *FORMAT),
    "format 4": add(u8("A_PROFILE_FORMAT", 4), *FORMAT),
    "format 255": add(u8("A_PROFILE_FORMAT", 255), *FORMAT),
    "csum 0": add(GUTLESS + u8("A_PROFILE_CSUM", 0), *CSUM),
    "csum 6": add(GUTLESS + u8("A_PROFILE_CSUM", 6), *CSUM),
    "origin 2": add(GUTLESS + u8("A_PROFILE_ORIGIN", 2), *ORIGIN),
    "sport 0": add(GUTLESS + sport(0, 0), *ZERO, "A_PROFILE_SPORT_MIN"),
    "sport from 0": add(GUTLESS + sport(0, 5), *ZERO, "A_PROFILE_SPORT_MIN"),
    "sport backwards": add(GUTLESS + sport(5001, 5000), *BACKWARDS, "A_PROFILE_SPORT_MIN"),
    "sport to 0": add(GUTLESS + sport(5, 0), *BACKWARDS, "A_PROFILE_SPORT_MIN"),
    "sport max below the default min": add(GUTLESS + sport(None, 49151), *BACKWARDS, "A_PROFILE_SPORT_MAX"),
    "number 256": add(number(256) + GUTLESS, *UNFIT),
    "number 65535": add(number(65535) + GUTLESS, *UNFIT),
    "remote, no words": add(number(7) + GUTLESS + REMOTE, *UNFIT),
    "remote, 1 word": add(number(263) + GUTLESS + REMOTE, *UNFIT),
    "remote, index 0": add(number(512) + GUTLESS + REMOTE, *UNFIT),
    "fou, remote": add(u8("A_PROFILE_FORMAT", 1) + REMOTE, *FOU_REMOTE, "A_PROFILE_CSUM"),
    "fou, by the draft": add(u8("A_PROFILE_FORMAT", 1) + u8("A_PROFILE_CSUM", 4), *DRAFT, "A_PROFILE_CSUM"),
    "gutless, by the draft": add(GUTLESS + u8("A_PROFILE_CSUM", 4), *DRAFT, "A_PROFILE_CSUM"),
    "same": add(number(1) + GUTLESS, EEXIST, "this profile is there already", "A_PROFILE_NUMBER"),
    "same, the last": add(number(255) + GUTLESS, EEXIST, "this profile is there already", "A_PROFILE_NUMBER"),
    "set absent": Refusal("PROFILE_SET", number(2) + GUTLESS, *NONE),
    "set 0": Refusal("PROFILE_SET", number(0) + GUTLESS, *NONE),
    "set 256": Refusal("PROFILE_SET", number(256) + GUTLESS, *NONE),
    "set no number": Refusal("PROFILE_SET", GUTLESS, *MISSING),
    "set format 4": change(u8("A_PROFILE_FORMAT", 4), *FORMAT),
    "set csum 6": change(u8("A_PROFILE_CSUM", 6), *CSUM),
    "set remote": change(REMOTE, *STAYS, "A_PROFILE_CSUM"),
    "set remote and fou": change(u8("A_PROFILE_FORMAT", 1) + REMOTE, *FOU_REMOTE, "A_PROFILE_CSUM"),
    "set gue by the draft": change(u8("A_PROFILE_FORMAT", 2) + u8("A_PROFILE_CSUM", 4), *STAYS, "A_PROFILE_CSUM"),
    "set good, then origin": change(u8("A_PROFILE_FORMAT", 2) + u8("A_PROFILE_CSUM", 2) + u8("A_PROFILE_ORIGIN", 2), *ORIGIN),
    "set min above max": change(sport(5001, None), *BACKWARDS, "A_PROFILE_SPORT_MIN"),
    "set max below min": change(sport(None, 3999), *BACKWARDS, "A_PROFILE_SPORT_MAX"),
    "set min 0": change(sport(0, None), *ZERO, "A_PROFILE_SPORT_MIN"),
    "del absent": Refusal("PROFILE_DEL", number(2), *NONE),
    "del 0": Refusal("PROFILE_DEL", number(0), *NONE),
    "del 65535": Refusal("PROFILE_DEL", number(65535), *NONE),
    "del no number": Refusal("PROFILE_DEL", b"", *MISSING),
    "get absent": Refusal("PROFILE_GET", number(2), *NONE),
    "get no number": Refusal("PROFILE_GET", b"", *MISSING),
    "del with more": Refusal("PROFILE_DEL", number(1) + GUTLESS, EINVAL, "Unsupported attribute", "A_PROFILE_FORMAT"),
    "get with more": Refusal("PROFILE_GET", number(1) + sport(1, 2), EINVAL, "Unsupported attribute", "A_PROFILE_SPORT_MIN"),
    "stats": add(GUTLESS + attr(n("A_PROFILE_STATS") | 0x8000), EINVAL, "Unsupported attribute", "A_PROFILE_STATS"),
    "unknown": add(GUTLESS + attr(n("A_PROFILE_GUE") + 1), EINVAL, "Unknown attribute type", n("A_PROFILE_GUE") + 1),
    "unknown far": change(attr(0x3FFF), EINVAL, "Unknown attribute type", 0x3FFF),
    "format of 2 octets": add(u16("A_PROFILE_FORMAT", 3), *LENGTH, "A_PROFILE_FORMAT"),
    "number of 4 octets": add(u32("A_PROFILE_NUMBER", 3) + GUTLESS, *LENGTH, "A_PROFILE_NUMBER"),
    "number of 1 octet": Refusal("PROFILE_DEL", u8("A_PROFILE_NUMBER", 1), *LENGTH, "A_PROFILE_NUMBER"),
    "number 8192": add(number(8192 + 1) + GUTLESS, *UNFIT),
    "options, number without room": add(number(7) + GUTLESS + options("5804 00000007 0000"), *UNFIT),
    "options, number with less room": add(number(263) + GUTLESS + options("5804 00000007 0000"), *UNFIT),
    "room above the number's": add(number(263) + GUTLESS + u8("A_PROFILE_ROOM", 2), *UNFIT),
    "room 32": add(GUTLESS + u8("A_PROFILE_ROOM", 32), ERANGE, "integer out of range", "A_PROFILE_ROOM"),
    "set room": change(u8("A_PROFILE_ROOM", 1), EINVAL, "the room for options is part of the profile's number and stays", "A_PROFILE_ROOM"),
    "set options": change(options("1e02 0001"), *STAYS, "A_PROFILE_OPTIONS"),
    "options of 128 octets": add(GUTLESS + options("00" * 128), ERANGE, "Attribute failed policy validation", "A_PROFILE_OPTIONS"),
    "options, no whole word": add(GUTLESS + options("1e01 00"), EINVAL, WHOLE, "A_PROFILE_OPTIONS"),
    "options that overrun": add(GUTLESS + options("1e03 0001"), EINVAL, BEHIND, "A_PROFILE_OPTIONS"),
    "options, a type alone": add(GUTLESS + options("000000 1e"), EINVAL, BEHIND, "A_PROFILE_OPTIONS"),
    "options that overrun by 255": add(GUTLESS + options("1eff" + "00" * 122), EINVAL, BEHIND, "A_PROFILE_OPTIONS"),
    "remote checksum as an option": add(
        GUTLESS + options("5904 00000000 0100"), EINVAL, "the remote checksum is a checksum mode, and no option to be set", "A_PROFILE_OPTIONS"
    ),
    "auth without a key": add(GUTLESS + options("5b1a" + "00" * 26), EINVAL, "option auth needs a key", "A_PROFILE_OPTIONS"),
    "timing of 4 octets": add(GUTLESS + options("1c04 00000000 0100"), EINVAL, "option timing has 12 octets", "A_PROFILE_OPTIONS"),
    "group twice": add(GUTLESS + options("5804 00000007" * 2), EINVAL, TWICE, "A_PROFILE_OPTIONS"),
    "session twice": add(GUTLESS + options("5a00" * 2), EINVAL, TWICE, "A_PROFILE_OPTIONS"),
    "timing twice": add(GUTLESS + options(("1c0c" + "00" * 12) * 2), EINVAL, TWICE, "A_PROFILE_OPTIONS"),
    "options of gue": add(u8("A_PROFILE_FORMAT", 2) + options("1e02 0001"), EINVAL, ONLY, "A_PROFILE_OPTIONS"),
    "options of fou": add(u8("A_PROFILE_FORMAT", 1) + options("1e02 0001"), EINVAL, ONLY, "A_PROFILE_OPTIONS"),
    "options and the checksum's": add(
        GUTLESS + REMOTE + options("1e7a" + "00" * 122), EINVAL,
        "the options and the checksum's leave no room for each other", "A_PROFILE_OPTIONS",
    ),
    "rule without a profile": add(GUTLESS + nest("A_PROFILE_RULE", u32("A_RULE_MARK", 1)), EINVAL, "a rule is a mark and a profile", "A_PROFILE_RULE"),
    "rule without a mark": add(GUTLESS + nest("A_PROFILE_RULE", u16("A_RULE_PROFILE", 1)), EINVAL, "a rule is a mark and a profile", "A_PROFILE_RULE"),
    "rule that fits nothing": add(
        GUTLESS + rule(0x17, 1, 0xF), EINVAL, "no packet fits: the mark has bits set that the mask leaves out", "A_PROFILE_RULE"
    ),
    "rule to nobody": add(GUTLESS + rule(7, 99), ENOENT, "there is no such profile as a rule names", "A_PROFILE_RULE"),
    "rule to 0": add(GUTLESS + rule(7, 0), ENOENT, "there is no such profile as a rule names", "A_PROFILE_RULE"),
    "rule to a longer one": add(
        GUTLESS + rule(7, 257), EINVAL, "a rule's profile has longer headers than links with this one keep room for", "A_PROFILE_RULE"
    ),
    "set rule to nobody": change(rule(7, 99), ENOENT, "there is no such profile as a rule names", "A_PROFILE_RULE"),
    "33 rules": add(GUTLESS + b"".join(rule(mark, 1) for mark in range(33)), ENOSPC, "a profile has 32 rules at most", "A_PROFILE_RULE"),
    "flags 2": change(u32("A_PROFILE_FLAGS", 2), EINVAL, "reserved bit set", "A_PROFILE_FLAGS"),
    "leftover": add(GUTLESS + b"\1\0\0", EINVAL, "bytes leftover after parsing attributes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(netlink: RawNetlink, name: str) -> None:
    REFUSED[name].check(netlink)


def told(netlink: RawNetlink, value: int) -> dict[str, int]:
    """A profile as it is told, by the names of the uapi header without their beginning, counters apart."""
    names = {n("A_PROFILE_" + word): word for word in ("NUMBER", "FORMAT", "CSUM", "SPORT_MIN", "SPORT_MAX", "ORIGIN")}
    attributes = netlink.do("PROFILE_GET", number(value))[0].attributes
    return {names[kind]: int.from_bytes(data, "little") for kind, data in attributes if kind in names}


@pytest.fixture
def fresh(net: Net, gutless: None) -> Iterator[RawNetlink]:
    made = net.host("profile").call(RawNetlink)
    yield made
    made.close()


def test_round_trip(fresh: RawNetlink) -> None:
    reply = fresh.do("PROFILE_ADD", GUTLESS)
    assert [message.command for message in reply] == [n("CMD_PROFILE_ADD")], "the reply is the record"
    default = {"NUMBER": 1, "FORMAT": 3, "CSUM": 1, "SPORT_MIN": 49152, "SPORT_MAX": 65535, "ORIGIN": 0}
    assert told(fresh, 1) == default
    stats = dict(split(fresh.do("PROFILE_GET", number(1))[0].first("A_PROFILE_STATS") or b""))
    stats.pop(n("A_TX_PAD"), None)
    assert set(stats) == set(range(n("A_TX_PACKETS"), n("A_TX_DROP_SUPER_PACKET") + 1))
    assert set(stats.values()) == {bytes(8)}
    changes = {"FORMAT": 2, "CSUM": 2, "SPORT_MIN": 1, "SPORT_MAX": 65534, "ORIGIN": 1}
    for name, value in changes.items():
        make = u16 if "SPORT" in name else u8
        fresh.do("PROFILE_SET", number(1), make("A_PROFILE_" + name, value))
        default[name] = value
        assert told(fresh, 1) == default, f"{name} alone has changed"
    fresh.do("PROFILE_ADD", number(200), u8("A_PROFILE_FORMAT", 1), sport(7, 7), u8("A_PROFILE_CSUM", 2), u8("A_PROFILE_ORIGIN", 1))
    assert told(fresh, 200) == {"NUMBER": 200, "FORMAT": 1, "CSUM": 2, "SPORT_MIN": 7, "SPORT_MAX": 7, "ORIGIN": 1}
    assert told(fresh, 1) == default


def test_the_number_tells_the_header(fresh: RawNetlink) -> None:
    """Index in the lower 8 bits, words of options above; formats may change within one length."""
    gue = u8("A_PROFILE_FORMAT", 2)
    fresh.do("PROFILE_ADD", number(1), GUTLESS)
    fresh.do("PROFILE_ADD", gue, REMOTE)
    fresh.do("PROFILE_ADD", gue, REMOTE)
    fresh.do("PROFILE_ADD", gue, u8("A_PROFILE_CSUM", 4))
    fresh.do("PROFILE_ADD", number(512 + 255), GUTLESS, REMOTE)
    numbers = [m.first("A_PROFILE_NUMBER") for m in fresh.dump("PROFILE_GET")]
    assert numbers == [struct.pack("=H", value) for value in (1, 257, 513, 514, 767)]
    fresh.do("PROFILE_SET", number(513), GUTLESS)
    assert told(fresh, 513)["FORMAT"] == 3 and told(fresh, 513)["CSUM"] == 3
    for value in (1, 257, 513, 514, 767):
        fresh.do("PROFILE_DEL", number(value))
    # more room than the header needs
    for body, value in (
        (number(8191), 8191),
        (u8("A_PROFILE_ROOM", 3), 769),
        (u8("A_PROFILE_ROOM", 1) + options("1e02 0001 1e02 0002"), 513),
        (number(1025) + options("1e02 0001"), 1025),
    ):
        fresh.do("PROFILE_ADD", GUTLESS, body)
        assert fresh.do("PROFILE_GET", number(value))[0].first("A_PROFILE_ROOM") == bytes((value >> 8,))
    # and of what is there some may be used later
    fresh.do("PROFILE_SET", number(769), options("1e0a" + "00" * 10))
    fresh.do("PROFILE_SET", number(513), options(""))
    for value in (513, 769, 1025, 8191):
        fresh.do("PROFILE_DEL", number(value))


def test_options_and_rules_round_trip(fresh: RawNetlink) -> None:
    """Octet by octet, in their order; what a request does not speak of stays."""

    def rules(value: int) -> list[bytes]:
        (message,) = fresh.do("PROFILE_GET", number(value))
        return [data for kind, data in message.attributes if kind == n("A_PROFILE_RULE")]

    def area(value: int) -> bytes | None:
        return fresh.do("PROFILE_GET", number(value))[0].first("A_PROFILE_OPTIONS")

    every = bytes(range(2, 120))
    fresh.do("PROFILE_ADD", number(1), GUTLESS)
    fresh.do("PROFILE_ADD", GUTLESS, options("1e76" + every.hex() + "0102 0000"))
    fresh.do("PROFILE_ADD", GUTLESS, options("5804 00000007 0000"))
    long, group = 31 * 256 + 1, 2 * 256 + 1
    assert area(1) == b""
    assert area(long) == bytes.fromhex("1e76") + every + bytes.fromhex("01020000")
    fresh.do("PROFILE_SET", number(long), rule(7, 1) + rule(0x10, group, 0xF0) + rule(0, long, 0))
    wanted = [rule(7, 1, 0xFFFFFFFF), rule(0x10, group, 0xF0), rule(0, long, 0)]
    assert [sorted(split(one)) for one in rules(long)] == [sorted(split(one[4:])) for one in wanted]
    fresh.do("PROFILE_SET", number(long), sport(7, 8))
    assert len(rules(long)) == 3 and area(long) is not None
    fresh.do("PROFILE_SET", number(long), options("1e00 0000"))
    assert len(rules(long)) == 3 and area(long) == bytes.fromhex("1e000000")
    fresh.do("PROFILE_SET", number(long), rule(9, 1))
    assert len(rules(long)) == 1
    fresh.do("PROFILE_SET", number(long), u32("A_PROFILE_FLAGS", n("PROFILE_F_REPLACE_RULES")))
    assert rules(long) == []
    fresh.do("PROFILE_ADD", number(long + 1), GUTLESS, *(rule(mark, 1) for mark in range(32)))
    assert len(rules(long + 1)) == 32


def test_all_255_numbers(fresh: RawNetlink) -> None:
    """The lowest free one is given; when none is left ENOSPC; a freed one is given again; the dump has each once."""
    for wanted in range(1, 256):
        (reply,) = fresh.do("PROFILE_ADD", number(0), GUTLESS)
        assert reply.first("A_PROFILE_NUMBER") == struct.pack("=H", wanted)
    Refusal("PROFILE_ADD", GUTLESS, ENOSPC, "all profile numbers are taken").check(fresh)
    dumped = fresh.dump("PROFILE_GET")
    assert [message.first("A_PROFILE_NUMBER") for message in dumped] == [struct.pack("=H", i) for i in range(1, 256)]
    assert fresh.do("INFO_GET")[0].first("A_INFO_PROFILES") == struct.pack("=I", 255)
    for gone in (77, 1, 255):
        fresh.do("PROFILE_DEL", number(gone))
        (reply,) = fresh.do("PROFILE_ADD", u8("A_PROFILE_FORMAT", 2))
        assert reply.first("A_PROFILE_NUMBER") == struct.pack("=H", gone)
    for value in range(1, 256):
        fresh.do("PROFILE_DEL", number(value))
    assert fresh.state() == []


def test_a_dump_while_profiles_come_and_go(net: Net, gutless: None) -> None:
    """Parts of a dump with changes between: what stays is told once, and the dump says that it was interrupted."""
    host = net.host("profile")
    reader, writer = host.call(RawNetlink, 8192), host.call(RawNetlink)
    for value in range(1, 256):
        writer.do("PROFILE_ADD", number(value), GUTLESS)
    request = reader.send(n("CMD_PROFILE_GET"), b"", NLM_F_DUMP)
    reader.over = False
    seen: list[int] = []
    interrupted = False
    gone: set[int] = set()
    while not reader.over:
        for message in reader.parts(request):
            seen.append(struct.unpack("=H", message.first("A_PROFILE_NUMBER") or b"")[0])
            interrupted = interrupted or bool(message.flags & NLM_F_DUMP_INTR)
        for value in (seen[-1], 200 + len(gone)):
            if value not in gone:
                writer.do("PROFILE_DEL", number(value))
                gone.add(value)
    assert interrupted, "the dump came in one part, or nothing was said of the changes"
    assert len(seen) == len(set(seen))
    assert set(range(1, 256)) - gone <= set(seen)
    reader.close()
    writer.close()
