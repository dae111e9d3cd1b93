# SPDX-License-Identifier: Apache-2.0
"""Checksums against vectors, against a loop that adds word by word, and against each other."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gutctl import encap
from gutctl.encap import EncapError, Gutless

A4, B4 = IPv4Address("203.0.113.5"), IPv4Address("198.51.100.7")
A6, B6 = IPv6Address("2001:db8::5"), IPv6Address("2001:db8:1::7")


def added_up(data: bytes) -> int:
    """RFC 1071 as a loop: add 16-bit words, fold the carries back in."""
    total = 0
    for at in range(0, len(data), 2):
        total += data[at] << 8 | (data[at + 1] if at + 1 < len(data) else 0)
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(st.binary(max_size=200))
@example(b"\xff\xff")
@example(b"\xff\xfe\x00\x01")
@example(b"\x00\x00")
def test_sum_is_that_of_a_loop(data: bytes) -> None:
    assert encap.ones_sum(data) == added_up(data)
    assert encap.ones_sum(data, odd=True) == added_up(b"\0" + data)


def test_sum_of_rfc_1071() -> None:
    # section 3: the sum of 00 01 f2 03 f4 f5 f6 f7 is ddf2
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert encap.ones_sum(data) == 0xDDF2
    assert encap.checksum(data) == 0x220D


def test_ipv4_header_known_from_print() -> None:
    # a header seen in many texts: 192.168.0.1 to 192.168.0.199, UDP, checksum b861
    head = bytes.fromhex("45000073000040004011" + "0000" + "c0a80001c0a800c7")
    assert encap.checksum(head) == 0xB861
    assert encap.ones_sum(head[:10] + b"\xb8\x61" + head[12:]) == 0xFFFF


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_sums_of_parts_add_up(first: bytes, second: bytes) -> None:
    parts = encap.ones_add(encap.ones_sum(first), encap.ones_sum(second, odd=len(first) % 2 == 1))
    assert parts == encap.ones_sum(first + second)


def datagram(payload: bytes, check: int = 0) -> bytes:
    head = (50164, 6080, 8 + len(payload), check)
    return b"".join(word.to_bytes(2, "big") for word in head) + payload


@pytest.mark.parametrize(("source", "destination"), [(A4, B4), (A6, B6)])
@given(payload=st.binary(max_size=80))
def test_udp_checksum_verifies_and_a_changed_bit_does_not(
    source: IPv4Address, destination: IPv4Address, payload: bytes
) -> None:
    check = encap.udp_checksum(source, destination, datagram(payload))
    assert check != 0
    whole = datagram(payload, check)
    assert encap.udp_checksum_state(source, destination, whole) == "ok"
    # the pseudo-header by hand
    pseudo = source.packed + destination.packed
    length = len(whole).to_bytes(4, "big")
    pseudo += b"\0\0" + b"\0\x11" + length
    assert added_up(pseudo + whole) == 0xFFFF
    for bit in range(0, 8 * len(whole), 7):
        octets = bytearray(whole)
        octets[bit // 8] ^= 1 << bit % 8
        if octets[6:8] != b"\0\0":
            state = encap.udp_checksum_state(source, destination, bytes(octets))
            assert state == "bad"


def test_udp_checksum_of_zero_is_sent_as_ffff() -> None:
    # the last two octets make the sum come out as ffff
    start = datagram(b"\0\0")
    missing = encap.transport_checksum(A4, B4, 17, start)
    payload = missing.to_bytes(2, "big")
    assert encap.transport_checksum(A4, B4, 17, datagram(payload)) == 0
    assert encap.udp_checksum(A4, B4, datagram(payload)) == 0xFFFF
    assert encap.udp_checksum_state(A4, B4, datagram(payload, 0xFFFF)) == "ok"
    assert encap.udp_checksum_state(A4, B4, datagram(payload, 0)) == "none"


def test_addresses_that_are_taken_as_zero() -> None:
    # transport mode: protocol and length stay in the pseudo-header
    segment = bytes.fromhex("1f9017c0000c0000aabbccdd")
    pseudo = bytes(8) + b"\0\x11\0\x0c"
    wanted = ~added_up(pseudo + segment) & 0xFFFF
    assert encap.udp_checksum(None, None, segment) == wanted
    with pytest.raises(EncapError):
        encap.udp_checksum(A4, None, segment)
    with pytest.raises(EncapError):
        encap.udp_checksum(A4, B6, segment)


@given(st.binary(max_size=120), st.integers(0, 0xFFFF))
def test_check_makes_the_payload_neutral(body: bytes, ports: int) -> None:
    payload = encap.seal(encap.encode(Gutless(132), body))
    assert encap.check_state(payload) == "ok"
    assert added_up(payload) == 0xFFFF
    # the point of it: header-only and whole checksum are one number
    udp = ports.to_bytes(2, "big") + b"\x17\xc0" + (8 + len(payload)).to_bytes(2, "big")
    heads = encap.ones_add(encap.pseudo_sum(A4, B4, 17, 8 + len(payload)), encap.ones_sum(udp))
    assert encap.udp_checksum(A4, B4, udp + b"\0\0" + payload) == ((~heads & 0xFFFF) or 0xFFFF)


def test_a_check_of_zero_is_sent_as_ffff() -> None:
    body = (~0x8084 & 0xFFFF).to_bytes(2, "big")
    payload = encap.seal(encap.encode(Gutless(132), body))
    assert payload[2:4] == b"\xff\xff"
    assert encap.check_state(payload) == "ok"


@given(st.binary(min_size=1, max_size=60), st.integers(0, 7), st.integers(1, 255))
def test_check_finds_a_changed_bit(body: bytes, bit: int, where: int) -> None:
    payload = bytearray(encap.seal(encap.encode(Gutless(132), body)))
    payload[4 + where % len(body)] ^= 1 << bit
    assert encap.check_state(bytes(payload)) == "bad"


def test_check_that_is_not_used() -> None:
    assert encap.check_state(encap.encode(Gutless(132), b"x")) == "none"


@given(st.data(), st.binary(min_size=2, max_size=60))
def test_repair_after_a_change_en_route(data: st.DataObject, body: bytes) -> None:
    payload = encap.seal(encap.encode(Gutless(132), body))
    start = data.draw(st.integers(4, len(payload) - 1))
    end = data.draw(st.integers(start + 1, len(payload)))
    after = data.draw(st.binary(min_size=end - start, max_size=end - start))
    check = encap.repair_check(
        int.from_bytes(payload[2:4], "big"),
        payload[start:end],
        after,
        odd=start % 2 == 1,
    )
    changed = payload[:2] + check.to_bytes(2, "big") + payload[4:start] + after
    assert encap.check_state(changed + payload[end:]) == "ok"


def test_repair_leaves_an_unused_check_alone() -> None:
    assert encap.repair_check(0, b"a", b"b") == 0
    with pytest.raises(EncapError):
        encap.repair_check(1, b"a", b"bc")


@pytest.mark.parametrize("size", range(4))
def test_short_data(size: int) -> None:
    with pytest.raises(EncapError):
        encap.compute_check(bytes(size))
    with pytest.raises(EncapError):
        encap.check_state(bytes(size))
    with pytest.raises(EncapError):
        encap.udp_checksum_state(A4, B4, bytes(size))
