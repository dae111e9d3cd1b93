# SPDX-License-Identifier: Apache-2.0
"""Keys over netlink: what is refused, what is told, and that a secret that went in comes out nowhere."""

from __future__ import annotations

import errno
import hashlib
import struct
from collections.abc import Iterator

import pytest
import rawnl
from authkeys import KEY, NAME, OTHER, asked, attribute, blank, require, secret
from net import Host, Net
from rawnl import NETLINK_CAP_ACK, SOL_NETLINK, RawNetlink, Refused

from gutctl._wire.auth import Key
from gutctl._wire.options import pad
from gutctl.model import Accept, Format, KeyedOption, Port, PortKey, Profile
from gutctl.netlink import Kernel

PORT = rawnl.key(7001)
ANY = rawnl.u8("A_PORT_ANY_SOURCE", 1)
SECRET = secret(1)
NETLINK_ADD_MEMBERSHIP = 1


@pytest.fixture(scope="module")
def host(gutless: None, module_net: Net) -> Host:
    return module_net.host("keys")


@pytest.fixture(scope="module")
def kernel(host: Host) -> Iterator[RawNetlink]:
    door = host.call(RawNetlink)
    yield door
    door.close()


@pytest.fixture
def port(kernel: RawNetlink) -> Iterator[bytes]:
    kernel.do("PORT_ADD", PORT, ANY, attribute(KEY))
    yield PORT
    kernel.do("PORT_DEL", PORT)


def gone(number: int) -> bytes:
    return rawnl.u16("A_PORT_KEY_DEL", number)


def again(number: int, fingerprint: bytes, direction: int = 0) -> bytes:
    inside = rawnl.u16("A_KEY_ID", number) + rawnl.u8("A_KEY_DIRECTION", direction)
    return rawnl.nest("A_PORT_KEY", inside + rawnl.attr(rawnl.n("A_KEY_FINGERPRINT"), fingerprint))


MANY = b"".join(attribute(Key.of(n, secret(n % 9) + bytes((n,)))) for n in range(100, 109))
PRINT = hashlib.sha256(SECRET).digest()[:8]

REFUSED = {
    "no id": (asked(None, SECRET), errno.EINVAL, "a key is an id"),
    "no secret": (asked(5, None), errno.EINVAL, "a key is an id"),
    "secret and fingerprint": (rawnl.nest("A_PORT_KEY", rawnl.split(asked(5, SECRET))[0][1], rawnl.attr(rawnl.n("A_KEY_FINGERPRINT"), PRINT)), errno.EINVAL, "a key is an id"),
    "15 octets": (asked(5, SECRET[:15]), errno.ERANGE, ""),
    "65 octets": (asked(5, bytes(65)), errno.ERANGE, ""),
    "no octets": (asked(5, b""), errno.ERANGE, ""),
    "direction 2": (asked(5, SECRET, direction=2), errno.ERANGE, ""),
    "a name too long": (asked(5, SECRET, "n" * 128), errno.EINVAL, ""),
    "two of one id": (asked(5, SECRET) + asked(5, secret(2)), errno.EINVAL, "two keys of one id"),
    "nine": (MANY, errno.ENOSPC, "8 keys"),
    "eight more": (MANY[: len(MANY) // 9 * 8], errno.ENOSPC, "8 keys"),
    "delete one that is not there": (gone(5), errno.ENOENT, "no key of this id"),
    "delete twice": (gone(7) + gone(7), errno.ENOENT, "no key of this id"),
    "require and delete the last": (require() + gone(7), errno.EINVAL, "needs a key"),
    "another fingerprint": (again(7, bytes(8)), errno.ENOKEY, "its secret is needed"),
    "fingerprint of another direction": (again(7, PRINT, 1), errno.ENOKEY, "its secret is needed"),
    "fingerprint of another id": (again(8, PRINT), errno.ENOKEY, "its secret is needed"),
    "a port without GUT-less": (rawnl.u32("A_PORT_ACCEPT", 2), errno.EINVAL, "accepts GUT-less"),
    "require 2": (require(2), errno.ERANGE, ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(kernel: RawNetlink, port: bytes, name: str) -> None:
    """And then the port is as it was."""
    body, number, said = REFUSED[name]
    before = kernel.state()
    with pytest.raises(Refused) as refusal:
        kernel.do("PORT_SET", port, body)
    assert (refusal.value.errno, said in refusal.value.sentence) == (number, True), refusal.value
    assert kernel.state() == before


def test_refused_in_an_addition(kernel: RawNetlink) -> None:
    for body, number in (
        (require(), errno.EINVAL),
        (again(7, PRINT), errno.ENOKEY),
        (rawnl.u32("A_PORT_ACCEPT", 2) + attribute(KEY), errno.EINVAL),
        (rawnl.u32("A_PORT_ACCEPT", 1) + rawnl.u8("A_PORT_FOU_PROTOCOL", 4) + attribute(KEY), errno.EINVAL),
    ):
        with pytest.raises(Refused) as refusal:
            kernel.do("PORT_ADD", PORT, ANY, body)
        assert refusal.value.errno == number
    assert kernel.state() == []


def profile(*more: bytes, number: int = (8 << 8) + 1) -> bytes:
    return rawnl.u16("A_PROFILE_NUMBER", number) + rawnl.u8("A_PROFILE_FORMAT", 3) + b"".join(more)


def options(*given: object) -> bytes:
    return rawnl.attr(rawnl.n("A_PROFILE_OPTIONS"), b"".join(option.encode() for option in pad(given)))  # type: ignore[arg-type]


def signing(key: Key) -> bytes:
    return attribute(key, name="A_PROFILE_KEY")


def test_profiles_refused(kernel: RawNetlink) -> None:
    seven = options(blank(7))
    filled = rawnl.attr(rawnl.n("A_PROFILE_OPTIONS"), bytes((0x5B, 26, 0, 7)) + bytes(23) + b"\1")
    short = rawnl.attr(rawnl.n("A_PROFILE_OPTIONS"), bytes((0x5B, 22, 0, 7)) + bytes(20))
    for body, said in (
        (profile(seven), "needs a key"),
        (profile(signing(KEY)), "not among the options"),
        (profile(options(blank(8)), signing(KEY)), "names another key"),
        (profile(filled, signing(KEY)), "26 octets"),
        (profile(short, signing(KEY)), "26 octets"),
        (profile(options(blank(7), blank(7)), signing(KEY)), "stands twice"),
        (profile(seven, asked(7, None, name="A_PROFILE_KEY")), "a key is an id"),
    ):
        with pytest.raises(Refused) as refusal:
            kernel.do("PROFILE_ADD", body)
        assert refusal.value.errno == errno.EINVAL
        assert said in refusal.value.sentence
    kernel.do("PROFILE_ADD", profile(seven, signing(KEY)))
    before = kernel.state()
    for body, said in (
        (options(blank(8)), "names another key"),
        (signing(OTHER), "names another key"),
        (options() + signing(KEY), "not among"),
    ):
        with pytest.raises(Refused) as refusal:
            kernel.do("PROFILE_SET", rawnl.u16("A_PROFILE_NUMBER", (8 << 8) + 1), body)
        assert said in refusal.value.sentence
        assert kernel.state() == before
    # the key goes with the option
    kernel.do("PROFILE_SET", rawnl.u16("A_PROFILE_NUMBER", (8 << 8) + 1), options())
    with pytest.raises(Refused, match="needs a key"):
        kernel.do("PROFILE_SET", rawnl.u16("A_PROFILE_NUMBER", (8 << 8) + 1), seven)
    kernel.do("PROFILE_DEL", rawnl.u16("A_PROFILE_NUMBER", (8 << 8) + 1))


def test_what_is_told(kernel: RawNetlink, host: Host) -> None:
    """Id, name, direction, fingerprint; a port with eight keys; the same by the tool's own door."""
    door = Kernel(host.name)
    keys = frozenset({KEY, OTHER, *(Key.of(n, secret(n % 9) + bytes((n,)), "x" * 127) for n in range(100, 106))})
    made = Port(PortKey(6, 7002), frozenset({Accept.GUTLESS}), any_source=True, keys=keys, require_auth=True)
    try:
        door.port_add(made)
        told = door.port(made.key)
        assert told is not None
        assert (told.keys, told.require_auth) == (keys, True)
        assert {key.name for key in told.keys} == {key.name for key in keys}
        assert {key.secret for key in told.keys} == {b""}
        # by what was told, nothing changes; a name alone does
        door.port_set(made.key, keys=told.keys)
        assert door.port(made.key) == told
        assert next(key for key in told.keys if key.id == 7).fingerprint == PRINT.hex()
        door.port_set(made.key, remove_keys=[7, 8, *range(100, 105)])
        door.port_set(made.key, require_auth=False, remove_keys=[105])
        bare = door.port(made.key)
        assert bare is not None
        assert (bare.keys, bare.require_auth) == (frozenset(), False)
        number = door.profile_add(Profile(0, Format.GUTLESS, options=(KeyedOption.of(KEY),))).number
        there = door.profile(number)
        assert there is not None
        assert there.options == (KeyedOption.of(KEY),)
        assert isinstance(there.options[0], KeyedOption)
        assert there.options[0].key.name == NAME
        door.profile_del(number)
    finally:
        door.port_del(made.key)
        door.close()


def over(data: bytes) -> bool:
    """Whether the end of a dump is in it."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        if kind == rawnl.NLMSG_DONE:
            return True
        at += size + -size % 4
    return False


def test_a_secret_comes_out_nowhere(kernel: RawNetlink, host: Host) -> None:
    """In no octet of dumps, answers, events and refusals, nor do eight of its octets in a row."""
    pieces = [SECRET[at : at + 8] for at in range(25)]

    def clean(data: bytes) -> bytes:
        assert not any(piece in data for piece in pieces)
        return data

    with host.socket(16, 3, 16) as events:
        # without a number of its own it would be taken for the kernel
        events.bind((0, 0))
        family = kernel.ask(3, rawnl.attr(2, b"gutless\0"), family=16)[0]
        groups = next(data for kind, data in family.attributes if kind == 7)
        for _, group in rawnl.split(groups):
            inside = dict(rawnl.split(group))
            events.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, struct.unpack("=I", inside[2])[0])
        events.settimeout(10)
        heard = 0

        def hear(count: int) -> None:
            nonlocal heard
            for _ in range(count):
                heard += NAME.encode() in clean(events.recv(1 << 16))

        kernel.do("PORT_ADD", PORT, ANY, attribute(KEY))
        kernel.do("PORT_SET", PORT, attribute(KEY), attribute(OTHER))
        (made,) = kernel.do("PROFILE_ADD", profile(options(blank(7)), signing(KEY)))
        number = rawnl.u16("A_PROFILE_NUMBER", struct.unpack("=H", made.first("A_PROFILE_NUMBER") or b"")[0])
        kernel.do("PROFILE_SET", number, options(blank(7)), signing(KEY))
        hear(4)
        for command, body, flags in (
            ("PORT_GET", PORT, 0),
            ("PORT_GET", b"", rawnl.NLM_F_DUMP),
            ("PROFILE_GET", number, 0),
            ("PROFILE_GET", b"", rawnl.NLM_F_DUMP),
        ):
            kernel.send(rawnl.n("CMD_" + command), body, flags)
            answer = kernel.socket.recv(1 << 18)
            while flags and not over(answer):
                answer += kernel.socket.recv(1 << 18)
            assert NAME.encode() in clean(answer)
        # a refusal has all of the request in it, unless one asks for less
        kernel.socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 0)
        for command, body in (
            ("PORT_SET", PORT + attribute(KEY) + gone(5)),
            ("PORT_SET", rawnl.key(7009) + attribute(KEY)),
            ("PORT_ADD", PORT + ANY + attribute(KEY)),
            ("PROFILE_ADD", profile(signing(KEY))),
            ("PROFILE_SET", number + signing(KEY) + options(blank(8))),
        ):
            kernel.send(rawnl.n("CMD_" + command), body, rawnl.NLM_F_ACK)
            answer = clean(kernel.socket.recv(1 << 18))
            assert struct.unpack_from("=i", answer, 16)[0] < 0
            assert NAME.encode() in answer, "the request was not echoed"
        kernel.socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        kernel.do("PROFILE_DEL", number)
        kernel.do("PORT_DEL", PORT)
        hear(2)
        assert heard == 6
