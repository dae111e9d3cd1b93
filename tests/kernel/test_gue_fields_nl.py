# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE 0 over netlink: every refusal, what a change leaves alone, and that a cookie is never told.

    a namespace with nothing but lo; raw netlink alone
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from errno import EINVAL, ERANGE

import pytest
from gueports import COOKIE, asked
from net import Host, Net
from rawnl import (
    CTRL_CMD_GETFAMILY,
    CTRL_FAMILY_NAME,
    GENL_ID_CTRL,
    SOL_NETLINK,
    RawNetlink,
    attr,
    key,
    n,
    nest,
    split,
    u8,
    u16,
    u32,
)
from refusals import Refusal

PORT = key(7000)
NUMBER = 12 << 8 | 1
PROFILE = u16("A_PROFILE_NUMBER", NUMBER)
GUE, GUTLESS = u8("A_PROFILE_FORMAT", 2), u8("A_PROFILE_FORMAT", 3)
REMOTE = u8("A_PROFILE_CSUM", 3)
ANY = u8("A_PORT_ANY_SOURCE", 1)
REQUIRE_GROUP = nest("A_PORT_OPTION_RULE", u8("A_OPTION_RULE_TYPE", 0x58), u8("A_OPTION_RULE_ACTION", 2))


@pytest.fixture(scope="module")
def host(module_net: Net, gutless: None) -> Host:
    return module_net.host("fields")


@pytest.fixture(scope="module")
def netlink(host: Host) -> Iterator[RawNetlink]:
    """With a port and a profile that have all fields, which refused requests must leave as they are."""
    made = host.call(RawNetlink)
    made.do("PORT_ADD", PORT, ANY, asked("PORT", group=7, csum=1, cookie=COOKIE, name=b"/etc/one"))
    made.do("PROFILE_ADD", PROFILE, GUE, asked("PROFILE", group=7, csum=1, cookie=COOKIE, name=b"/etc/one"))
    yield made
    made.close()


SIZE = (EINVAL, "a cookie has 8, 16 or 32 octets", "A_GUE_COOKIE")
BOTH = {"group": "a group to be set and to be cleared", "cookie": "a cookie to be set and to be cleared"}
NAME = (EINVAL, "the name of a cookie comes with the cookie", "A_GUE_COOKIE_NAME")
FORMAT = (EINVAL, "only format GUE has group, cookie and checksum")
ACCEPT = (EINVAL, "fields of GUE are required of a port that accepts it")
NOTHING = (EINVAL, "no packet has both a field of GUE and what else is required")
STAYS = (EINVAL, "links keep room for the header that the profile's number tells, which this is longer than")

REFUSED: dict[str, Refusal] = {
    **{f"cookie of {size}": Refusal("PORT_SET", PORT + asked("PORT", cookie=bytes(size)), *SIZE) for size in (0, 1, 4, 7, 9, 12, 24, 31)},
    "cookie of 33": Refusal("PORT_SET", PORT + asked("PORT", cookie=bytes(33)), ERANGE, "Attribute failed policy validation", "A_GUE_COOKIE"),
    "profile's cookie of 24": Refusal("PROFILE_SET", PROFILE + asked("PROFILE", cookie=bytes(24)), *SIZE),
    "group, cleared": Refusal("PORT_SET", PORT + asked("PORT", group=1, clear=1), EINVAL, BOTH["group"], "A_GUE_GROUP"),
    "cookie, cleared": Refusal("PORT_SET", PORT + asked("PORT", cookie=bytes(8), clear=3), EINVAL, BOTH["cookie"], "A_GUE_COOKIE"),
    "name alone": Refusal("PORT_SET", PORT + asked("PORT", name=b"x"), *NAME),
    "name, cleared": Refusal("PORT_SET", PORT + asked("PORT", name=b"x", clear=2), *NAME),
    "checksum 2": Refusal("PORT_SET", PORT + asked("PORT", csum=2), ERANGE, "integer out of range", "A_GUE_CSUM"),
    "clear 4": Refusal("PORT_SET", PORT + asked("PORT", clear=4), EINVAL, "reserved bit set", "A_GUE_CLEAR"),
    "good, then bad": Refusal("PORT_SET", PORT + asked("PORT", group=9, csum=0, cookie=bytes(3)), *SIZE),
    "port no longer accepts it": Refusal("PORT_SET", PORT + u32("A_PORT_ACCEPT", 12), *ACCEPT, "A_PORT_ACCEPT"),
    "add, not accepted": Refusal("PORT_ADD", key(7001) + ANY + u32("A_PORT_ACCEPT", 12) + asked("PORT", csum=1), *ACCEPT, "A_PORT_GUE"),
    "add, FOU": Refusal(
        "PORT_ADD", key(7001) + ANY + u32("A_PORT_ACCEPT", 1) + u8("A_PORT_FOU_PROTOCOL", 4) + asked("PORT", group=1), *ACCEPT, "A_PORT_GUE"
    ),
    "add, and an option": Refusal("PORT_ADD", key(7001) + ANY + REQUIRE_GROUP + asked("PORT", group=1), *NOTHING, "A_PORT_GUE"),
    "an option as well": Refusal("PORT_SET", PORT + REQUIRE_GROUP, *NOTHING, "A_PORT_OPTION_RULE"),
    "GUT-less": Refusal("PROFILE_ADD", GUTLESS + asked("PROFILE", group=1), *FORMAT, "A_PROFILE_GUE"),
    "FOU": Refusal("PROFILE_ADD", u8("A_PROFILE_FORMAT", 1) + asked("PROFILE", csum=1), *FORMAT, "A_PROFILE_GUE"),
    "to GUT-less": Refusal("PROFILE_SET", PROFILE + GUTLESS, *FORMAT, "A_PROFILE_FORMAT"),
    "too long beside a remote checksum": Refusal("PROFILE_ADD", u16("A_PROFILE_NUMBER", 11 << 8 | 2) + GUE + REMOTE
        + asked("PROFILE", group=1, csum=1, cookie=COOKIE), EINVAL,
        "a profile's number is 1 to 255, and 256 more for each 4 octets of its options, at least", "A_PROFILE_NUMBER"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(netlink: RawNetlink, name: str) -> None:
    REFUSED[name].check(netlink)


def test_longer_than_its_number(netlink: RawNetlink) -> None:
    short = u16("A_PROFILE_NUMBER", 2 << 8 | 1)
    netlink.do("PROFILE_ADD", short, GUE, asked("PROFILE", group=7, csum=1))
    try:
        Refusal("PROFILE_SET", short + asked("PROFILE", cookie=bytes(8)), *STAYS, "A_PROFILE_GUE").check(netlink)
        netlink.do("PROFILE_SET", short, asked("PROFILE", cookie=bytes(8), csum=0, clear=1))
        assert fields(netlink, "PROFILE_GET", short, "A_PROFILE_GUE") == told(None, 0, bytes(8), b"")
    finally:
        netlink.do("PROFILE_DEL", short)


def fields(netlink: RawNetlink, command: str, which: bytes, attribute: str) -> dict[str, bytes]:
    """What is told of fields, by name."""
    (message,) = netlink.do(command, which)
    nested = message.first(attribute)
    names = {n(f"A_GUE_{name}"): name for name in ("GROUP", "CSUM", "COOKIE", "COOKIE_LEN", "COOKIE_HASH", "COOKIE_NAME", "CLEAR")}
    return {names[number]: data for number, data in split(nested)} if nested is not None else {}


def told(group: int | None, csum: int, cookie: bytes | None, name: bytes) -> dict[str, bytes]:
    found = {"CSUM": bytes((csum,))}
    if group is not None:
        found["GROUP"] = struct.pack("=I", group)
    if cookie is not None:
        found["COOKIE_LEN"] = bytes((len(cookie),))
        found["COOKIE_HASH"] = hashlib.blake2s(cookie, digest_size=8).digest()
        found["COOKIE_NAME"] = name + b"\0"
    return found


@pytest.mark.parametrize(("noun", "which"), [("PORT", PORT), ("PROFILE", PROFILE)])
def test_what_is_absent_stays(netlink: RawNetlink, noun: str, which: bytes) -> None:
    """Each field is set and taken away without the others noticing."""

    def now() -> dict[str, bytes]:
        return fields(netlink, f"{noun}_GET", which, f"A_{noun}_GUE")

    def change(**what: object) -> dict[str, bytes]:
        netlink.do(f"{noun}_SET", which, asked(noun, **what))  # type: ignore[arg-type]
        return now()

    assert now() == told(7, 1, COOKIE, b"/etc/one")
    assert change() == told(7, 1, COOKIE, b"/etc/one")
    assert change(group=0xFFFFFFFF) == told(0xFFFFFFFF, 1, COOKIE, b"/etc/one")
    assert change(csum=0) == told(0xFFFFFFFF, 0, COOKIE, b"/etc/one")
    # a new cookie has a name of its own, or none
    assert change(cookie=COOKIE[:8]) == told(0xFFFFFFFF, 0, COOKIE[:8], b"")
    assert change(clear=1) == told(None, 0, COOKIE[:8], b"")
    assert change(cookie=bytes(16), name=b"n" * 127) == told(None, 0, bytes(16), b"n" * 127)
    assert change(clear=2, group=0) == told(0, 0, None, b"")
    assert change(clear=3) == {}
    assert change(clear=3) == {}
    assert change(group=7, csum=1, cookie=COOKIE, name=b"/etc/one") == told(7, 1, COOKIE, b"/etc/one")


def listening(host: Host) -> RawNetlink:
    """A socket that gets the events."""
    made: RawNetlink = host.call(RawNetlink)
    (family,) = made.ask(CTRL_CMD_GETFAMILY, attr(CTRL_FAMILY_NAME, b"gutless\0"), family=GENL_ID_CTRL)
    groups = next(data for number, data in family.attributes if number == 7)
    for _, group in split(groups):
        said = dict(split(group))
        if said[1] == b"events\0":
            made.socket.setsockopt(SOL_NETLINK, 1, struct.unpack("=I", said[2])[0])
            return made
    raise AssertionError("there is no group of events")


def test_a_cookie_is_never_told(host: Host, netlink: RawNetlink) -> None:
    """In no answer, dump or event are its octets."""
    listener = listening(host)
    secret = bytes(range(0x81, 0xA1))
    print_ = hashlib.blake2s(secret, digest_size=8).digest()
    netlink.do("PORT_SET", PORT, asked("PORT", cookie=secret))
    netlink.do("PROFILE_SET", PROFILE, asked("PROFILE", cookie=secret))
    (made,) = netlink.do("PROFILE_ADD", GUE, asked("PROFILE", cookie=secret))
    netlink.do("PROFILE_DEL", attr(n("A_PROFILE_NUMBER"), made.first("A_PROFILE_NUMBER") or b""))
    answers = [made]
    for command, which in (("PORT_GET", PORT), ("PROFILE_GET", PROFILE)):
        answers += [*netlink.do(command, which), *netlink.dump(command)]
    told_of = [b"".join(data for _, data in one.attributes) for one in answers]
    told_of += [listener.socket.recv(1 << 16) for _ in range(4)]
    listener.close()
    netlink.do("PORT_SET", PORT, asked("PORT", cookie=COOKIE, name=b"/etc/one"))
    netlink.do("PROFILE_SET", PROFILE, asked("PROFILE", cookie=COOKIE, name=b"/etc/one"))
    for one in told_of:
        assert print_ in one, "it is known by this"
        assert all(secret[at : at + 4] not in one for at in range(len(secret) - 3))
