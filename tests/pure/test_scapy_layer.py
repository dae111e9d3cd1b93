# SPDX-License-Identifier: Apache-2.0
"""The scapy layer against gutctl.encap: two descriptions of the same headers, neither made from the other."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from encap_strategies import gue_headers, gutless_headers
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw

from gutctl import encap
from gutctl.scapy_layer import GUE, GUTless, GUTOption, bind_port, unbind_port

INNER = bytes(IP(src="10.9.0.1", dst="10.9.0.2") / ICMP() / b"ping")


def carried(payload: bytes, port: int = 6080) -> Any:
    """What scapy finds in a UDP payload."""
    return UDP(bytes(UDP(sport=50000, dport=port) / Raw(payload))).payload


@given(gutless_headers(), st.binary(max_size=40))
def test_gutless_headers_are_taken_apart_alike(header: encap.Gutless, payload: bytes) -> None:
    wire = encap.encode(header, payload)
    seen = carried(wire)
    assert type(seen) is GUTless
    assert (bool(seen.control), seen.proto, seen.check) == (header.control, header.protocol, header.check)
    assert [(one.type, bytes(one.data or b"")) for one in seen.options] == [(one.type, one.data) for one in header.options]
    assert bytes(seen) == wire
    again = seen.copy()
    again.hlen = None
    again.raw_packet_cache = None
    assert bytes(again) == wire


@given(gue_headers(), st.binary(max_size=40))
def test_gue_headers_are_taken_apart_alike(header: encap.Gue, payload: bytes) -> None:
    wire = encap.encode(header, payload)
    seen = carried(wire)
    assert type(seen) is GUE
    assert (bool(seen.control), seen.proto) == (header.control, header.protocol)
    assert seen.group == (header.group if header.group is not None else None)
    remote = (seen.remote_start, seen.remote_offset) if seen.R else None
    assert remote == ((header.remote.start, header.remote.offset) if header.remote else None)
    assert bool(seen.M) == header.magic
    assert seen.surplus == header.surplus
    if header.fragment:
        assert (seen.fragment_offset, seen.fragment_id) == (header.fragment.offset, header.fragment.identification)
    if header.private:
        at = (seen.private_start, seen.private_offset) if seen.private & 0x80000000 else None
        assert at == ((header.private.remote.start, header.private.remote.offset) if header.private.remote else None)
    assert bytes(seen) == wire
    again = seen.copy()
    again.hlen = None
    again.raw_packet_cache = None
    assert bytes(again) == wire


@given(st.binary(min_size=1, max_size=80))
def test_any_octets(payload: bytes) -> None:
    """Damaged ones too: nothing is raised, nothing is lost."""
    assert bytes(carried(payload)) == payload


@pytest.mark.parametrize(
    ("inner", "protocol"),
    [(IP() / ICMP(), 4), (IPv6() / UDP(), 41), (GRE() / IP(), 47), (Ether() / IP(), 143), (TCP(), 6), (Raw(b"x"), 59)],
)
@pytest.mark.parametrize("layer", [GUE, GUTless])
def test_next_header_follows_from_what_is_inside(layer: type[Any], inner: Any, protocol: int) -> None:
    built = UDP(bytes(UDP() / layer() / inner))
    assert built.dport == 6080
    assert built.payload.proto == protocol
    assert type(built.payload.payload) is type(inner)


def test_padding_and_hlen_are_made() -> None:
    for octets in range(9):
        packet = GUTless(options=[GUTOption(type=0x3E, data=bytes(octets))]) / IP(INNER)
        decoded = encap.decode(bytes(packet))
        assert isinstance(decoded.header, encap.Gutless)
        assert decoded.header.options == encap.pad([encap.Option(0x3E, bytes(octets))])
        assert decoded.payload == INNER
    assert bytes(GUTless(hlen=3, options=[GUTOption(type="group", data=bytes(4))]))[0] == 0x83
    assert bytes(GUE(G=1, group=7, surplus=b"abc") / IP(INNER))[:12].hex() == "020480000000000761626300"


@given(st.binary(max_size=60))
def test_a_neutral_check(data: bytes) -> None:
    wire = bytes(GUTless(check="neutral", options=[GUTOption(type="group", data=bytes(4))]) / Raw(data))
    assert encap.check_state(wire) == "ok"
    assert "neutral" in repr(GUTless(check="neutral"))


def test_options_have_names_and_values() -> None:
    option = carried(bytes.fromhex("82040000" + "580400000007" + "0100") + INNER).options[0]
    assert option.value() == encap.Group(7)
    assert "type=group" in repr(option)
    assert option.summary() == "group"
    assert "proto=echo request" in repr(carried(bytes.fromhex("a1010000" + "01020000")))


def test_bare_and_what_is_no_format() -> None:
    assert type(carried(INNER)) is IP
    assert type(carried(b"\x60" + bytes(39))) is IPv6
    assert type(carried(b"\x50" + bytes(39))) is Raw
    assert type(carried(b"\xc0" + bytes(39))) is Raw


def test_another_port() -> None:
    assert type(carried(INNER, 7000)) is Raw
    bind_port(7000)
    try:
        assert type(carried(INNER, 7000)) is IP
    finally:
        unbind_port(7000)
        bind_port(6080)
    assert type(carried(INNER, 7000)) is Raw


def test_gutctl_itself_does_without_scapy() -> None:
    code = "import sys, gutctl.ext_api, gutctl.encap, gutctl.cli; sys.exit('scapy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
