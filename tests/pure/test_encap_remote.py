# SPDX-License-Identifier: Apache-2.0
"""Remote checksum offload: built, and finished as its receiver does, in all three forms."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gutctl import encap
from gutctl.dissect import dissect_payload
from gutctl.encap import EncapError, Gue, Gutless, Option, RemoteChecksum, remote_encode, remote_finish, remote_of

A4, B4 = IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2")
A6, B6 = IPv6Address("fd09::1"), IPv6Address("fd09::2")


def packet(version: int, protocol: int, data: bytes) -> bytes:
    """An IP packet with TCP or UDP, all checksums right."""
    source, target = (A4, B4) if version == 4 else (A6, B6)
    if protocol == 6:
        segment = struct.pack("!HHIIBBHHH", 4000, 5000, 1, 1, 0x50, 0x18, 1000, 0, 0) + data
        at, value = 16, encap.transport_checksum(source, target, 6, segment)
    else:
        segment = struct.pack("!HHHH", 4000, 5000, 8 + len(data), 0) + data
        at, value = 6, encap.udp_checksum(source, target, segment)
    segment = segment[:at] + value.to_bytes(2, "big") + segment[at + 2 :]
    if version == 6:
        return struct.pack("!IHBB", 6 << 28, len(segment), protocol, 64) + A6.packed + B6.packed + segment
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, protocol, 0) + A4.packed + B4.packed
    return head[:10] + encap.checksum(head).to_bytes(2, "big") + head[12:] + segment


FORMS = [(Gue, False), (Gue, True), (Gutless, False)]


def test_octets_by_hand() -> None:
    """Linux's form as Linux sends it (captured: private flag, start 20, offset 26), and the two others."""
    whole = bytes.fromhex("4500001c 00010000 401166bc 0a090001 0a090002 00010002 0008ebc6")
    # the sum of 0a09 0001 0a09 0002 0011 0008 is 142e
    left = whole[:-2] + bytes.fromhex("142e")
    assert remote_encode(Gue(4), whole).hex() == "02040001" + "80000000" + "0014001a" + left.hex()
    assert remote_encode(Gue(4), whole, draft=True).hex() == "01040200" + "0014001a" + left.hex()
    assert remote_encode(Gutless(4), whole).hex() == "82040000" + "59040014001a" + "0100" + left.hex()


@pytest.mark.parametrize("protocol", [6, 17])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("header", "draft"), FORMS)
@given(data=st.binary(max_size=100))
def test_there_and_back(header: type[Gue | Gutless], draft: bool, version: int, protocol: int, data: bytes) -> None:
    whole = packet(version, protocol, data)
    sent = remote_encode(header(4 if version == 4 else 41), whole, draft=draft)
    found = encap.decode(sent)
    remote = remote_of(found.header)
    start = 20 if version == 4 else 40
    assert remote == RemoteChecksum(start, start + (16 if protocol == 6 else 6))
    # the pseudo-header's sum, which now and then is the checksum as well
    ends = (A4, B4) if version == 4 else (A6, B6)
    left = encap.pseudo_sum(*ends, protocol, len(whole) - start).to_bytes(2, "big")
    assert found.payload == whole[: remote.offset] + left + whole[remote.offset + 2 :]
    assert remote_finish(found.payload, remote) == whole
    assert isinstance(encap.receive_verdict(sent), encap.Accepted)


def test_inside_gre() -> None:
    inner = packet(6, 17, b"odd")
    for head in ("000086dd", "200086dd 00000007", "300086dd 00000007 00000001"):
        gre = bytes.fromhex(head)
        found = encap.decode(remote_encode(Gue(47), gre + inner))
        remote = remote_of(found.header)
        assert remote == RemoteChecksum(len(gre) + 40, len(gre) + 46)
        assert remote_finish(found.payload, remote) == gre + inner


def test_a_computed_zero_is_sent_as_ffff() -> None:
    """To UDP a zero would say that there is no checksum."""
    whole = packet(4, 17, b"\0\0")
    value = int.from_bytes(whole[26:28], "big")
    whole = packet(4, 17, value.to_bytes(2, "big"))
    assert whole[26:28] == b"\xff\xff"
    found = encap.decode(remote_encode(Gue(4), whole))
    assert remote_finish(found.payload, remote_of(found.header)) == whole


def test_fields_and_options_stay() -> None:
    whole = packet(4, 6, b"data")
    gue = Gue(4, group=7, surplus=b"abcd")
    found = encap.decode(remote_encode(gue, whole)).header
    assert isinstance(found, Gue)
    assert (found.group, found.surplus) == (7, b"abcd")
    own = Gutless(4, encap.pad([encap.Timing(1, 2).option()]))
    header = encap.decode(remote_encode(own, whole)).header
    assert isinstance(header, Gutless)
    assert [option.name for option in header.options] == ["timing", "remote-checksum"]


@pytest.mark.parametrize(
    ("header", "payload", "what"),
    [
        (Gue(4), packet(4, 6, b"x")[:-1], "whole"),
        (Gue(4), packet(4, 6, b"x") + b"pad", "behind the packet"),
        (Gue(4), packet(4, 17, b"x")[:26] + b"\0\0x", "without a checksum"),
        (Gue(4), packet(4, 17, b"x")[:-1] + b"y", "wrong"),
        (Gue(4), packet(4, 17, b"x")[:6] + b"\x20" + packet(4, 17, b"x")[7:], "fragment"),
        (Gue(4), packet(4, 17, b"x")[:9] + b"\x84" + packet(4, 17, b"x")[10:], "protocol 132"),
        (Gue(41), b"", "whole"),
        (Gue(143), bytes(60), "protocol 143"),
        (Gue(47), bytes.fromhex("800008000000ffff") + packet(4, 6, b""), "protocol 47"),
        (Gue(4, private=encap.Private(RemoteChecksum(0, 0))), packet(4, 6, b""), "already"),
        (Gue(4, control=True), packet(4, 6, b""), "control"),
        (Gutless(4, (Option(1, bytes(122)),)), None, ""),
        (Gutless(4, (Option(0x1E, bytes(118)), Option(0), Option(0), Option(0), Option(0))), packet(4, 6, b""), "room"),
        (Gue(4, surplus=bytes(124)), packet(4, 6, b""), "128 at most"),
    ],
)
def test_refusals(header: Gue | Gutless, payload: bytes | None, what: str) -> None:
    if payload is None:  # padding makes room
        assert remote_of(encap.decode(remote_encode(header, packet(4, 6, b""))).header)
        return
    with pytest.raises(EncapError) as caught:
        remote_encode(header, payload)
    assert what in f"{caught.value} {caught.value.hint}"


def test_the_draft_s_flag_is_no_gutless() -> None:
    with pytest.raises(EncapError):
        remote_encode(Gutless(4), packet(4, 6, b""), draft=True)


@pytest.mark.parametrize("option", [Option(0x59, bytes(3)), Option(0x59, b"\0\1\0\2"), Option(0x59, b"\0\4\0\2")])
def test_an_option_that_is_none(option: Option) -> None:
    with pytest.raises(EncapError) as caught:
        remote_of(Gutless(4, encap.pad([option])))
    assert caught.value.reason == "options"


def states(payload: bytes) -> list[str]:
    found = dissect_payload(payload)
    assert found.problem is None
    told = [layer.to_json().get("checksum_state") for layer in found.layers]
    return [state for state in told if state]


@pytest.mark.parametrize(("header", "draft"), FORMS)
def test_dissection_tells_what_the_receiver_will_make(header: type[Gue | Gutless], draft: bool) -> None:
    whole = packet(4, 17, b"payload")
    sent = remote_encode(header(4), whole, draft=draft)
    assert states(sent) == ["ok", "remote"]
    lines = "\n".join(dissect_payload(sent).lines(short=True))
    assert "start 20, offset 26" in lines
    assert "remote (left to the receiver)" in lines
    # what stands in its place is not the sum of the pseudo-header
    assert states(sent[:-8] + b"\0" + sent[-7:]) == ["ok", "bad"]
    # the checksum is there already: the receiver would spoil it
    assert states(sent[: len(sent) - len(whole)] + whole) == ["ok", "bad"]
    # a sum that begins elsewhere
    at = sent.index(b"\0\x14\0\x1a")
    assert states(sent[:at] + b"\0\x12\0\x1a" + sent[at + 4 :]) == ["ok", "bad"]


@pytest.mark.parametrize(("header", "draft"), FORMS)
def test_dissection_tells_that_a_pair_out_of_bounds_is_dropped(header: type[Gue | Gutless], draft: bool) -> None:
    sent = remote_encode(header(4), packet(4, 17, b"payload."), draft=draft)
    at = sent.index(b"\0\x14\0\x1a")
    lines = "\n".join(dissect_payload(sent[:at] + b"\0\x14\xff\xfe" + sent[at + 4 :]).lines())
    assert "a port with default settings drops it: remcsum" in lines
