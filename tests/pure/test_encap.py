# SPDX-License-Identifier: Apache-2.0
"""Octets to headers and back, for every format."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from encap_strategies import gue_headers, gutless_headers, octets, values
from hypothesis import example, given
from hypothesis import strategies as st

from gutctl import encap
from gutctl.encap import EncapError, Gue, Gutless, Option

IP4 = bytes.fromhex("4500001c000040004001f6c7cb007105c6336407") + bytes(8)


@given(gue_headers(), st.binary(max_size=64))
def test_gue_round_trip(header: Gue, payload: bytes) -> None:
    wire = encap.encode(header, payload)
    protocol = None if header.control else header.protocol
    assert encap.decode(wire) == encap.Decoded(header, protocol, payload, header.octets)


@given(gutless_headers(), st.binary(max_size=64))
def test_gutless_round_trip(header: Gutless, payload: bytes) -> None:
    wire = encap.encode(header, payload)
    protocol = None if header.control else header.protocol
    assert encap.decode(wire) == encap.Decoded(header, protocol, payload, header.octets)


@given(st.sampled_from([4, 6]), st.binary(max_size=64), st.integers(0, 15))
def test_bare_round_trip(version: int, rest: bytes, low: int) -> None:
    payload = bytes([version << 4 | low]) + rest
    decoded = encap.decode(encap.encode(encap.Bare(version), payload))
    inner = {4: 4, 6: 41}[version]
    assert decoded == encap.Decoded(encap.Bare(version), inner, payload, 0)


@given(st.integers(1, 255), st.binary(max_size=64))
def test_fou_round_trip(protocol: int, payload: bytes) -> None:
    decoded = encap.decode(encap.encode(encap.Fou(protocol), payload), fou=protocol)
    assert decoded == encap.Decoded(encap.Fou(protocol), protocol, payload, 0)


@given(values)
def test_option_values_round_trip(value: Any) -> None:
    assert encap.option_value(value.option()) == value


@given(st.binary(max_size=160))
@example(b"")
def test_any_octets_give_a_packet_or_an_encap_error(data: bytes) -> None:
    try:
        decoded = encap.decode(data)
    except EncapError as error:
        assert error.reason in {
            *("truncated", "variant", "flags", "length", "options", "protocol-zero"),
        }
        assert error.where is None or 0 <= error.where <= len(data)
        assert str(error)
    else:
        # what decode takes is canonical: it goes back octet by octet
        assert encap.encode(decoded.header, decoded.payload) == data
        assert decoded.consumed + len(decoded.payload) == len(data)


@given(st.integers(0, 255), st.binary(max_size=30))
def test_any_option_data_gives_a_value_or_an_encap_error(kind: int, data: bytes) -> None:
    option = Option(kind, b"" if kind == 0 else data)
    try:
        value = encap.option_value(option)
    except EncapError as error:
        assert error.reason == "options"
    else:
        assert value is None or value.option() == option


@given(st.integers(0, 255), st.binary(max_size=80))
def test_any_control_body_gives_a_body_or_an_encap_error(kind: int, body: bytes) -> None:
    try:
        found = encap.decode_control(kind, body)
    except EncapError as error:
        assert error.reason == "control"
    else:
        assert found is None or found.encode() == body


@pytest.mark.parametrize(
    ("hexa", "header"),
    [
        ("00040000", Gue(4)),
        ("00290000", Gue(41)),
        ("00060000", Gue(6)),
        # the draft's example: a group and a cookie of 64 bit
        ("03049000" + "00000007" + "0102030405060708",
         Gue(4, group=7, security=bytes(range(1, 9)))),
        # experimental control: the identifier is in the payload
        ("20ff0000", Gue(255, control=True)),
        # Linux, remote checksum offload
        ("02040001" + "80000000" + "0014001a",
         Gue(4, private=encap.Private(encap.RemoteChecksum(20, 26)))),
        # GLB director: the hops are surplus
        ("02040000" + "00000001" + "c0000201",
         Gue(4, surplus=bytes.fromhex("00000001c0000201"))),
        ("01040200" + "0014001a",
         Gue(4, remote=encap.RemoteChecksum(20, 26))),
        ("02040800" + "0009" + "29" + "00000000ff",
         Gue(4, fragment=encap.Fragment(1, True, 41, 255))),
        ("013b0400" + "01040000", Gue(59, transform=encap.Transform(1, 4))),
        ("01040100" + "beef0014", Gue(4, checksum=encap.HeaderChecksum(0xBEEF, 20))),
        ("01040080" + "beef0000", Gue(4, nat=0xBEEF)),
        ("02040040" + "00000014" + "01020304",
         Gue(4, alternate=encap.AlternateChecksum(20, 0x01020304))),
        ("02000020" + "ffd871a2b4e7c965", Gue(0, magic=True)),
        ("0a044000" + "00000009" + "0004" + "0010" + "ab" * 32,
         Gue(4, security=encap.Hmac(9, 4, 16, b"\xab" * 32))),
        ("80040000", Gutless(4)),
        ("8029abcd", Gutless(41, check=0xABCD)),
        ("82040000" + "580400000007" + "0100",
         Gutless(4, encap.pad([encap.Group(7).option()]))),
        ("82840000" + "0102000000000000",
         Gutless(132, (Option(1, bytes(2)), *([Option(0)] * 4)))),
        ("a0010000", Gutless(1, control=True)),
    ],
)  # fmt: skip
def test_hand_made_headers(hexa: str, header: Gue | Gutless) -> None:
    wire = bytes.fromhex(hexa)
    assert encap.encode(header) == wire
    assert encap.decode(wire + b"payload").header == header
    assert encap.decode(wire + b"payload").payload == b"payload"


FULL_HEADERS = [
    Gue(4),
    Gue(
        4,
        group=1,
        security=encap.Hmac(1, 0, 0, bytes(32)),
        fragment=encap.Fragment(0, False, 4, 1),
        transform=encap.Transform(1, 4),
        remote=encap.RemoteChecksum(0, 0),
        checksum=encap.HeaderChecksum(0, 0),
        nat=0,
        alternate=encap.AlternateChecksum(0, 0),
        magic=True,
        private=encap.Private(encap.RemoteChecksum(0, 0)),
        surplus=bytes(4),
    ),
    Gutless(4),
    Gutless(4, encap.pad([encap.Group(7).option(), encap.Timing(1, 2).option()])),
]


@pytest.mark.parametrize("header", FULL_HEADERS)
def test_every_truncation_of_a_header_is_truncated(header: Gue | Gutless) -> None:
    wire = encap.encode(header)
    assert encap.decode(wire).consumed == len(wire)
    for size in range(len(wire)):
        with pytest.raises(EncapError) as caught:
            encap.decode(wire[:size])
        assert caught.value.reason == "truncated"


@pytest.mark.parametrize("first", [0x00, 0x80])
@pytest.mark.parametrize("hlen", range(32))
def test_every_header_length_against_every_packet_length(first: int, hlen: int) -> None:
    for size in range(1, 140):
        data = bytes([first | hlen, 4, 0, 0]).ljust(size, b"\0")[:size]
        if size >= 4 + 4 * hlen:
            assert encap.decode(data).consumed == 4 + 4 * hlen
            continue
        with pytest.raises(EncapError) as caught:
            encap.decode(data)
        assert caught.value.reason == "truncated"


@pytest.mark.parametrize("bit", range(16))
def test_each_flag_alone_wants_its_field(bit: int) -> None:
    flag = 0x8000 >> bit
    sizes = {0: 4, 1: 40, 2: 16, 3: 8, 4: 8, 5: 4, 6: 4, 7: 4, 8: 4, 9: 8, 10: 8, 15: 4}
    for words in range(12):
        data = bytes([words, 4]) + flag.to_bytes(2, "big") + bytes(4 * words)
        if bit == 10 and words >= 2:  # the magic number has a value to have
            data = data[:4] + bytes.fromhex("ffd871a2b4e7c965") + data[12:]
        if bit not in sizes:
            reason = "flags"
        elif 4 * words < sizes[bit]:
            reason = "length"
        else:
            assert encap.encode(encap.decode(data).header) == data
            continue
        with pytest.raises(EncapError) as caught:
            encap.decode(data)
        assert caught.value.reason == reason


@pytest.mark.parametrize("sec", [5, 6, 7])
def test_reserved_values_of_the_security_flags(sec: int) -> None:
    data = bytes([31, 4]) + (sec << 12).to_bytes(2, "big") + bytes(124)
    with pytest.raises(EncapError, match="undefined flags") as caught:
        encap.decode(data)
    assert caught.value.reason == "flags"


@pytest.mark.parametrize(
    ("hexa", "where"),
    [
        ("020408000002" + "29" + "0000000001", 5),  # fragmentation, Res
        ("010400800000" + "0001", 6),  # NAT
        ("020400400001" + "0000" + "00000000", 4),  # alternate checksum
        ("0204002000d871a2b4e7c965", 4),  # magic number
        ("0104000140000000", 4),  # private flags
    ],
)
def test_reserved_bits_in_fields_are_refused(hexa: str, where: int) -> None:
    with pytest.raises(EncapError) as caught:
        encap.decode(bytes.fromhex(hexa))
    assert caught.value.reason == "flags"
    assert caught.value.where == where


@pytest.mark.parametrize("first", [*range(0x50, 0x60), *range(0x70, 0x80), *range(0xC0, 0x100)])
def test_first_octets_of_no_format(first: int) -> None:
    with pytest.raises(EncapError) as caught:
        encap.decode(bytes([first]) + bytes(60))
    assert caught.value.reason == "variant"


def test_option_bits() -> None:
    for kind in range(1, 256):
        option = Option(kind)
        assert option.action == kind >> 6
        assert option.mutable == (kind & 0x20 == 0x20)
    assert Option(0x5E).name == "experiment-5e"
    assert Option(0x58).name == "group"
    assert Option(0x99).name == "option-99"


@given(st.lists(st.builds(Option, st.integers(1, 255), st.binary(max_size=20)), max_size=4))
def test_pad_fills_the_last_word(options: list[Option]) -> None:
    padded = encap.pad(options)
    assert list(padded[: len(options)]) == options
    assert sum(option.octets for option in padded) % 4 == 0
    assert len(padded) - len(options) <= 1
    assert all(option.padding for option in padded[len(options) :])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gue(256),
        lambda: Gue(-1),
        lambda: Gue("4"),  # type: ignore[arg-type]
        lambda: Gue(4, group=2**32),
        lambda: Gue(4, security=bytes(9)),
        lambda: Gue(4, surplus=bytes(3)),
        lambda: Gue(4, surplus=bytes(128)),
        lambda: Gutless(0),
        lambda: Gutless(4, (Option(1, b""), Option(0))),
        lambda: Gutless(4, check=0x10000),
        lambda: Gutless(4, encap.pad([encap.Group(1).option()] * 2)),
        lambda: Gutless(4, encap.pad([encap.RemoteOffload(0, 0).option()]), check=1),
        lambda: Gutless(4, (Option(1, bytes(122)), Option(1, bytes(2)))),
        lambda: Option(0, b"x"),
        lambda: Option(2, bytes(123)),
        lambda: Option(2, "text"),  # type: ignore[arg-type]
        lambda: encap.Bare(5),
        lambda: encap.Fou(0),
        lambda: encap.RemoteOffload(1, 2),
        lambda: encap.RemoteOffload(4, 2),
        lambda: encap.MinPathMtu(1500, 3),
        lambda: encap.Auth(1, 1, bytes(15)),
        lambda: encap.Report(1, 1, bytes(65)),
        lambda: encap.ObservedAddress("192.0.2.1", 1),  # type: ignore[arg-type]
        lambda: encap.encode(encap.Bare(4), b"\x60"),
        lambda: encap.encode(encap.Bare(6), b""),
    ],
)
def test_what_cannot_be_sent_cannot_be_made(make: Any) -> None:
    with pytest.raises(EncapError) as caught:
        make()
    assert caught.value.what


def test_hello_reply_with_observed_address() -> None:
    seen = encap.ObservedAddress(IPv4Address("203.0.113.5"), 50164)
    header = Gutless(encap.HELLO, encap.pad([seen.option()]), control=True)
    wire = encap.encode(header)
    assert wire.hex() == "a3040000" + "1b0704c3f4cb007105" + "010100"
    decoded = encap.decode(wire)
    assert decoded.protocol is None
    assert isinstance(decoded.header, Gutless)
    assert encap.option_value(decoded.header.options[0]) == seen


@given(octets(16), st.sampled_from([bytearray, memoryview]))
def test_any_kind_of_octets(data: bytes, kind: Any) -> None:
    wire = encap.encode(Gutless(59), data)
    assert encap.decode(kind(wire)) == encap.decode(wire)
