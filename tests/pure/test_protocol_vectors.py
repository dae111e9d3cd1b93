# SPDX-License-Identifier: Apache-2.0
"""The vectors of docs/protocol.md, judged by all: both codecs, the module's parser, scapy, tshark. The kernel's turn is in
tests/kernel/test_protocol_vectors.py."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from compiled import compiled
from protocol_options import option
from readers import by_gutctl, by_scapy, by_tshark, without
from scapy.packet import Raw
from test_wire_c import Case, compare
from test_wireshark import packet
from vectors import PACKETS, SUMS, VECTORS, Vector

from gutctl import encap
from gutctl.dissect import dissect_packet, dissect_payload
from gutctl.encap import Accepted, Control, Decoded, EncapError, Gue, Gutless
from gutctl.scapy_layer import GUE, GUTless, GUTOption

FORMATS: dict[type[Any], str] = {Gue: "gue0", encap.Bare: "bare", Gutless: "gutless"}
each = pytest.mark.parametrize("vector", VECTORS, ids=str)


def test_there_are_vectors_of_every_kind() -> None:
    assert {vector.format for vector in VECTORS} >= {"bare", "gue0", "gutless", None}
    assert len({vector.name for vector in VECTORS}) == len(VECTORS)
    # those that a vector can show: not the port's formats, and not its sources
    assert {vector.verdict for vector in VECTORS} == {
        *("accepted", "truncated", "variant", "flags", "length", "control", "options"),
        *("check", "protocol-zero", "protocol", "inner", "remcsum", "nesting"),
        *("gue-group", "gue-cookie", "gue-csum"),
        *("echo-requests", "echo-replies", "reports"),
    }
    shown = {option(told).type for vector in VECTORS for told in vector.options or ()}
    table = {0x00, 0x01, 0x0F, 0x12, 0x1B, 0x1C, 0x30, 0x58, 0x59, 0x5A, 0x5B}
    assert shown >= table | {0x1E, 0x3E, 0x5E, 0x7E, 0x9E, 0xBE, 0xDE, 0xFE}


@each
def test_python_decodes_and_encodes(vector: Vector) -> None:
    if vector.error is not None:
        with pytest.raises(EncapError) as caught:
            encap.decode(vector.payload)
        assert caught.value.reason == vector.error
        return
    decoded = encap.decode(vector.payload)
    assert FORMATS[type(decoded.header)] == vector.format
    assert decoded == Decoded(decoded.header, vector.next, vector.carried, vector.header_octets)
    assert encap.encode(decoded.header, decoded.payload) == vector.payload
    if isinstance(decoded.header, Gutless):
        assert encap.check_state(vector.payload) == vector.check
    if vector.transport is not None:
        assert vector.transport == "ok"
        assert encap.transport_checksum_ok(None, None, decoded.protocol or 0, decoded.payload)


@each
def test_python_says_the_same_of_the_port(vector: Vector) -> None:
    # whatever the ends are, their sum is hardly the one that makes a checksum right
    verdict = encap.receive_verdict(
        vector.payload, inner=vector.inner, udp_checksum=vector.udp_checksum, gue=vector.require, pseudo=1
    )
    if vector.judged == "accepted":
        assert verdict == Accepted(vector.next or 0, vector.header_octets)
    elif isinstance(verdict, Control):
        assert (verdict.counter, verdict.header_octets) == (vector.verdict, vector.header_octets)
    else:
        assert verdict == encap.Dropped(vector.verdict)  # type: ignore[arg-type]


@each
def test_what_is_sent_back(vector: Vector) -> None:
    """Replies and reports, of those that provoke one."""
    if vector.verdict == "echo-requests":
        assert vector.reply == encap.echo_answer(vector.payload, ip_address("192.0.2.1"), 50164)
        assert len(vector.reply or b"") == len(vector.payload)
    else:
        assert vector.reply is None
    if vector.verdict == "options" and vector.report is not None:
        assert vector.report == encap.report_about(vector.payload)
    else:
        assert vector.report is None


@each
def test_fields_are_as_said(vector: Vector) -> None:
    """Options, fields of GUE 0 and messages: taken apart, and put together from what the document says."""
    if vector.format in (None, "bare"):
        assert not vector.options and not vector.fields and not vector.message
        return
    header = encap.decode(vector.payload).header
    if isinstance(header, Gutless):
        options = tuple(option(told) for told in vector.options or ())
        if vector.options is not None or vector.accepted:
            assert header.options == options
            made = Gutless(vector.payload[1], options, int.from_bytes(vector.payload[2:4], "big"), header.control)
            assert encap.encode(made, vector.carried) == vector.payload
    (told,) = by_gutctl(packet(vector.payload))[:1]
    if vector.fields is not None or (vector.accepted and told["format"] == "gue0"):
        assert told["fields"] == (vector.fields or {})
    if vector.message is not None:
        assert told["message"] == vector.message


@each
def test_remote_checksums(vector: Vector) -> None:
    if not vector.accepted:
        assert vector.finished is None
        return
    decoded = encap.decode(vector.payload)
    remote = encap.remote_of(decoded.header)
    assert (vector.finished is not None) == (remote is not None)
    if vector.finished is not None:
        assert remote
        made = encap.remote_finish(decoded.payload, remote)
        assert made[remote.offset : remote.offset + 2] == vector.finished


@each
def test_inner_packets_are_sound(vector: Vector) -> None:
    """What a vector carries has right checksums, but where damage is its point."""
    if vector.verdict not in ("accepted", "options", "flags") or vector.error is not None:
        return
    found = dissect_payload(vector.payload)
    assert found.problem is None
    states = {layer.to_json().get("checksum_state") for layer in found.layers} - {None}
    assert states <= {"ok", "remote", "none", "fragment"}


def test_the_modules_parser(tmp_path: Path) -> None:
    """wire.h as a program: verdict, protocol and length of the header."""
    program = compiled("wire_c.c", tmp_path)
    cases = [
        Case(vector.payload, inner=vector.inner, udp_checksum=vector.udp_checksum, gue=vector.require) for vector in VECTORS
    ]
    for case, vector in zip(cases, VECTORS, strict=True):
        expected = ("", vector.next, vector.header_octets) if vector.judged == "accepted" else (vector.verdict, 0, 0)
        assert case.expected() == expected
    seen = compare(program, cases)
    assert seen[""] == sum(vector.judged == "accepted" for vector in VECTORS)


_GUE = {
    "group": "group",
    "remote_checksum.start": "remote_start",
    "remote_checksum.offset": "remote_offset",
    "fragment.offset": "fragment_offset",
    "fragment.more": "fragment_more",
    "fragment.protocol": "fragment_proto",
    "fragment.identification": "fragment_id",
    "transform.type": "transform_type",
    "transform.protocol": "transform_proto",
    "transform.info": "transform_info",
    "header_checksum.checksum": "header_checksum",
    "header_checksum.coverage": "header_coverage",
    "nat_address_checksum": "nat_checksum",
    "alternate_checksum.coverage": "alternate_coverage",
    "alternate_checksum.crc": "alternate_crc",
    "private_flags.remote_checksum.start": "private_start",
    "private_flags.remote_checksum.offset": "private_offset",
}
_FLAGS = {"group": "G", "fragment": "F", "transform": "T", "remote_checksum": "R", "header_checksum": "K"}
_FLAGS |= {"nat_address_checksum": "N", "alternate_checksum": "A", "magic": "M", "private_flags": "P"}


def scapy_gue(vector: Vector) -> Any:
    """A GUE header by scapy from the fields that the document names."""
    words: dict[str, Any] = {"control": vector.payload[0] >> 5 & 1, "proto": vector.payload[1], "P": vector.payload[3] & 1}
    for name, value in (vector.fields or {}).items():
        head = name.partition(".")[0]
        if head == "security":
            octets = value if isinstance(value, int) else bytes.fromhex(value)
            words["SEC"] = 4 if "cookie" not in name else {8: 1, 16: 2, 32: 3}[len(octets)]
            size = {"security.key_id": 4, "security.payload_offset": 2, "security.payload_length": 2}.get(name)
            words["security"] = words.get("security", b"") + (octets.to_bytes(size, "big") if size else octets)
        elif head == "surplus":
            words["surplus"] = bytes.fromhex(value)
        else:
            words[_FLAGS[head]] = 1
            if head == "private_flags":
                words["private"] = 0x80000000
            if name in _GUE:
                words[_GUE[name]] = int(value)
    return GUE(**words)


@each
def test_scapy_builds_the_same(vector: Vector) -> None:
    if vector.format not in ("gue0", "gutless") or (vector.format == "gutless" and vector.options is None and vector.payload[0] & 31):
        return
    if vector.format == "gutless":
        made: Any = GUTless(
            control=vector.payload[0] >> 5 & 1,
            proto=vector.payload[1],
            check="neutral" if vector.check == "ok" else int.from_bytes(vector.payload[2:4], "big"),
            options=[GUTOption(type=one.type, data=one.data) for one in map(option, vector.options or ())],
        )
    elif vector.fields is None and vector.payload[2:4] != b"\0\0":
        return
    else:
        made = scapy_gue(vector)
    assert bytes(made / Raw(vector.carried)) == vector.payload


def test_three_readers_agree() -> None:
    """And tshark has something to say of each that no sender makes."""
    packets = [packet(vector.payload) for vector in VECTORS]
    for vector, octets, seen in zip(VECTORS, packets, by_tshark(packets), strict=True):
        if vector.error is None:
            told = by_gutctl(octets)
            # gutctl shows no values that cannot be
            left = ("values",) if vector.verdict == "remcsum" else ()
            assert [without(one, *left) for one in seen.headers] == [without(one, *left) for one in told], vector
            # for scapy a packet that is cut in its IP header is no packet
            if (vector.format, vector.verdict) != ("bare", "inner"):
                assert by_scapy(octets) == [without(one, "check_state", "values") for one in told], vector
        elif vector.payload:
            assert seen.told, vector
        if vector.accepted:
            assert seen.told <= {"gutless.check.bad"}, vector
        if vector.verdict == "remcsum":
            assert seen.told >= {"gutless.option.remote_checksum.bad"} or seen.told >= {"gue0.remote_checksum.bad"}, vector


@pytest.mark.parametrize("told", SUMS, ids=lambda told: told["name"])
def test_sums_of_the_examples(told: dict[str, Any]) -> None:
    """By adding, and by the library."""
    words = [int(word, 16) for word in told["words"].split()]
    total = 0
    for word in words:
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    assert (total, total ^ 0xFFFF) == (told["sum"], told["complement"])
    octets = b"".join(word.to_bytes(2, "big") for word in words)
    assert (encap.ones_sum(octets), encap.checksum(octets)) == (told["sum"], told["complement"])


@pytest.mark.parametrize("told", PACKETS, ids=lambda told: told["name"])
def test_packet(told: dict[str, Any]) -> None:
    assert set(told) <= {"name", "octets", "lines", "neutral"}, "a key that nothing reads"
    octets = bytes.fromhex(told["octets"])
    assert list(dissect_packet(octets).lines(short=True)) == told["lines"]
    head, ends = (20, octets[12:20]) if octets[0] >> 4 == 4 else (40, octets[8:40])
    udp, payload = octets[head : head + 8], octets[head + 8 :]
    if udp[6:8] != b"\0\0":
        pseudo = ends + b"\0\x11" + (len(octets) - head).to_bytes(2, "big")
        assert encap.ones_sum(pseudo + udp + payload) == 0xFFFF
        # both checksums of section 5.1 are the one on the wire
        assert (encap.ones_sum(pseudo + udp) == 0xFFFF) == told.get("neutral", False)
    assert by_scapy(octets) == [without(one, "check_state", "values") for one in by_gutctl(octets)]
