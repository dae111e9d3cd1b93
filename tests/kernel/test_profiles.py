# SPDX-License-Identifier: Apache-2.0
"""Profiles over netlink: every refusal by errno, sentence and attribute; all numbers; round trips.

    a namespace with nothing but lo; raw netlink alone
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from errno import EEXIST, EINVAL, ENOENT, ENOSPC

import pytest
from net import Net
from rawnl import NLM_F_DUMP, NLM_F_DUMP_INTR, RawNetlink, attr, n, split, u8, u16, u32
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
UNFIT = (EINVAL, "a profile's number is 1 to 255, and 256 more for each 4 octets of its options", "A_PROFILE_NUMBER")
STAYS = (EINVAL, "the header's length is part of the profile's number and stays")
FOU_REMOTE = (EINVAL, "FOU has no header to say that a checksum is left to the receiver")
DRAFT = (EINVAL, "the draft's remote checksum is one of format GUE")
NONE = (ENOENT, "no such profile", "A_PROFILE_NUMBER")
LENGTH = (EINVAL, "invalid attribute length")

REFUSED: dict[str, Refusal] = {
    "no format": add(b"", EINVAL, "the format is missing"),
    "number alone": add(number(7), EINVAL, "the format is missing"),
    "format 0": add(u8("A_PROFILE_FORMAT", 0), *FORMAT),
    "format 4": add(u8("A_PROFILE_FORMAT", 4), *FORMAT),
    "format 255": add(u8("A_PROFILE_FORMAT", 255), *FORMAT),
    "csum 0": add(GUTLESS + u8("A_PROFILE_CSUM", 0), *CSUM),
    "csum 5": add(GUTLESS + u8("A_PROFILE_CSUM", 5), *CSUM),
    "origin 2": add(GUTLESS + u8("A_PROFILE_ORIGIN", 2), *ORIGIN),
    "sport 0": add(GUTLESS + sport(0, 0), *ZERO, "A_PROFILE_SPORT_MIN"),
    "sport from 0": add(GUTLESS + sport(0, 5), *ZERO, "A_PROFILE_SPORT_MIN"),
    "sport backwards": add(GUTLESS + sport(5001, 5000), *BACKWARDS, "A_PROFILE_SPORT_MIN"),
    "sport to 0": add(GUTLESS + sport(5, 0), *BACKWARDS, "A_PROFILE_SPORT_MIN"),
    "sport max below the default min": add(GUTLESS + sport(None, 49151), *BACKWARDS, "A_PROFILE_SPORT_MAX"),
    "number 256": add(number(256) + GUTLESS, *UNFIT),
    "number 257": add(number(257) + GUTLESS, *UNFIT),
    "number 8191": add(number(8191) + GUTLESS, *UNFIT),
    "number 65535": add(number(65535) + GUTLESS, *UNFIT),
    "remote, no words": add(number(7) + GUTLESS + REMOTE, *UNFIT),
    "remote, 1 word": add(number(263) + GUTLESS + REMOTE, *UNFIT),
    "remote, index 0": add(number(512) + GUTLESS + REMOTE, *UNFIT),
    "remote, 3 words": add(number(775) + GUTLESS + REMOTE, *UNFIT),
    "draft, 2 words": add(number(519) + u8("A_PROFILE_FORMAT", 2) + u8("A_PROFILE_CSUM", 4), *UNFIT),
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
    "set csum 5": change(u8("A_PROFILE_CSUM", 5), *CSUM),
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
    "unknown": add(GUTLESS + attr(8), EINVAL, "Unknown attribute type", 8),
    "unknown far": change(attr(0x3FFF), EINVAL, "Unknown attribute type", 0x3FFF),
    "format of 2 octets": add(u16("A_PROFILE_FORMAT", 3), *LENGTH, "A_PROFILE_FORMAT"),
    "number of 4 octets": add(u32("A_PROFILE_NUMBER", 3) + GUTLESS, *LENGTH, "A_PROFILE_NUMBER"),
    "number of 1 octet": Refusal("PROFILE_DEL", u8("A_PROFILE_NUMBER", 1), *LENGTH, "A_PROFILE_NUMBER"),
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
    assert set(stats) == set(range(n("A_TX_PACKETS"), n("A_TX_ICMP_ERRORS") + 1))
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
