# SPDX-License-Identifier: Apache-2.0
"""Dissection against scapy's packets, against damage, and against any octets at all.

scapy is the oracle for what stands in packets and for their checksums: it makes them here, in code
that has nothing in common with ours.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import GRE, CookedLinux, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit

from gutctl import encap
from gutctl.dissect import (
    DEPTH_MAX,
    Dissection,
    Ports,
    dissect_frame,
    dissect_packet,
    dissect_payload,
)
from gutctl.encap import Gue, Gutless, Option

A4, B4, A6, B6 = "203.0.113.5", "198.51.100.7", "2001:db8::5", "2001:db8:1::7"
INNER4 = IP(src="10.9.0.1", dst="10.9.0.2")
INNER6 = IPv6(src="fd00::1", dst="fd00::2")


def outer(payload: bytes, *, version: int = 4, port: int = 6080, source: int = 50164) -> Any:
    head = IP(src=A4, dst=B4, flags="DF") if version == 4 else IPv6(src=A6, dst=B6)
    return head / UDP(sport=source, dport=port) / payload


def layers(found: Dissection) -> list[dict[str, Any]]:
    """Its JSON, which has to be JSON."""
    again: dict[str, Any] = json.loads(json.dumps(found.to_json()))
    return list(again["layers"])


def kinds(found: Dissection) -> list[str]:
    return [layer.kind for layer in found.layers]


def states(found: Dissection) -> list[str]:
    """All checksum states, in order."""
    return [layer["checksum_state"] for layer in layers(found) if "checksum_state" in layer]


TRANSPORTS = [
    (TCP(sport=22, dport=33, flags="SA", options=[("MSS", 1400)]) / b"hello", "tcp"),
    (UDP(sport=22, dport=33) / b"hello", "udp"),
    (UDP(sport=22, dport=33) / b"hell", "udp"),
    (SCTP(sport=22, dport=33, tag=7) / SCTPChunkInit(), "sctp"),
]


@pytest.mark.parametrize("header", [Gue(4), Gutless(4), encap.Bare(4)])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("inner_version", [4, 6])
@pytest.mark.parametrize(("transport", "kind"), TRANSPORTS)
def test_tunnels_of_scapys_packets(
    header: encap.Header, version: int, inner_version: int, transport: Any, kind: str
) -> None:
    inner = bytes((INNER4 if inner_version == 4 else INNER6) / transport)
    protocol = 4 if inner_version == 4 else 41
    if isinstance(header, encap.Bare):
        payload, form = encap.encode(encap.Bare(inner_version), inner), "bare"
    else:
        payload = encap.encode(type(header)(protocol), inner)
        form = {Gue: "gue0", Gutless: "gutless"}[type(header)]
    packet = bytes(outer(payload, version=version))
    found = dissect_packet(packet)
    assert found.problem is None
    assert kinds(found) == [f"ipv{version}", "udp", form, f"ipv{inner_version}", kind]
    assert set(states(found)) == {"ok"}
    assert layers(found)[2]["drop_reason"] is None
    assert layers(found)[-1]["source_port"] == 22
    # offsets and sizes tile the packet
    at = 0
    for layer in found.layers:
        assert layer.offset == at
        at += layer.octets
    assert packet[at:] == found.payload


@pytest.mark.parametrize(("transport", "kind"), TRANSPORTS)
@pytest.mark.parametrize("version", [4, 6])
def test_each_damaged_octet_of_a_transport_is_seen(transport: Any, kind: str, version: int) -> None:
    head = INNER4 if version == 4 else INNER6
    packet = bytes(head / transport)
    size = 20 if version == 4 else 40
    for at in range(size, len(packet)):
        broken = bytearray(packet)
        broken[at] ^= 0x10
        found = dissect_packet(bytes(broken))
        bad = found.problem is not None or "bad" in states(found)
        assert bad, f"octet {at}"


@pytest.mark.parametrize("at", range(20))
def test_each_damaged_octet_of_an_ip_header_is_seen(at: int) -> None:
    packet = bytearray(bytes(INNER4 / UDP(sport=1, dport=2) / b"x"))
    packet[at] ^= 0x08
    found = dissect_packet(bytes(packet))
    assert found.problem is not None or layers(found)[0]["checksum_state"] == "bad"


def test_what_a_bad_checksum_should_be() -> None:
    packet = bytearray(bytes(INNER4 / UDP(sport=1, dport=2) / b"xyz"))
    right = packet[26:28]
    packet[26:28] = b"\x12\x34"
    found = dissect_packet(bytes(packet))
    assert layers(found)[1]["checksum_want"] == int.from_bytes(right, "big")
    assert f"checksum bad (want 0x{right.hex()})" in "\n".join(found.lines())
    packet[26:28] = b"\0\0"
    assert layers(dissect_packet(bytes(packet)))[1]["checksum_state"] == "none"


def unfinished(inner: bytes, protocol: int, check_at: int) -> bytes:
    """An IPv4 packet whose transport checksum the device is to make: it holds the pseudo-header's sum."""
    pseudo = inner[12:20] + struct.pack("!HH", protocol, len(inner) - 20)
    return inner[:check_at] + encap.ones_sum(pseudo).to_bytes(2, "big") + inner[check_at + 2 :]


def test_a_checksum_left_to_the_device_is_told_from_a_bad_one() -> None:
    packet = bytes(INNER4 / TCP(sport=1, dport=2) / b"xyz")
    found = dissect_packet(unfinished(packet, 6, 36))
    assert states(found) == ["ok", "partial"]
    assert layers(found)[1]["checksum_want"] == int.from_bytes(packet[36:38], "big")


@pytest.mark.parametrize("payload", [b"xyz", b"xy", b""])
def test_an_outer_checksum_that_counts_on_the_device_is_no_bad_one(payload: bytes) -> None:
    """Linux makes the outer checksum for the packet as the device will have finished it."""
    inner = bytes(INNER4 / TCP(sport=1, dport=2) / payload)
    whole = bytes(outer(encap.encode(Gue(4), inner)))
    captured = whole[: -len(inner)] + unfinished(inner, 6, 36)
    found = dissect_packet(captured)
    assert states(found) == ["ok", "partial", "ok", "partial"]
    assert "bad" not in "\n".join(found.lines())
    # and where it does not fit that either, it is bad
    for at in (26, 27, 40, 51):
        broken = captured[:at] + bytes([captured[at] ^ 1]) + captured[at + 1 :]
        assert "bad" in states(dissect_packet(broken))


def _octets(address: str) -> bytes:
    return bytes(map(int, address.split(".")))


def test_icmp_and_icmp6() -> None:
    found = dissect_packet(bytes(INNER4 / ICMP(id=5, seq=6) / b"ping"))
    assert layers(found)[1] | {"checksum": 0} == {
        "header": "icmp",
        "offset": 20,
        "octets": 8,
        "type": 8,
        "code": 0,
        "checksum": 0,
        "checksum_state": "ok",
        "id": 5,
        "sequence": 6,
    }
    found = dissect_packet(bytes(INNER6 / ICMPv6EchoRequest(id=5, seq=6)))
    assert states(found) == ["ok"]
    assert found.layers[1].title == "ICMPv6 echo request"
    found = dissect_packet(bytes(INNER4 / ICMP(type=3, code=4, nexthopmtu=1472) / b"quote"))
    assert layers(found)[1]["mtu"] == 1472


def test_ipv6_extension_headers() -> None:
    chain = IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2) / b"x"
    found = dissect_packet(bytes(INNER6 / chain))
    assert kinds(found) == ["ipv6", "hopopts", "dstopts", "udp"]
    assert states(found) == ["ok"]
    routed = INNER6 / IPv6ExtHdrRouting(addresses=["fd00::9"]) / UDP(sport=1, dport=2)
    found = dissect_packet(bytes(routed))
    assert states(found) == ["routing header"]
    assert "not verified (routing header)" in "\n".join(found.lines())


@pytest.mark.parametrize(
    "packet",
    [
        INNER6 / IPv6ExtHdrFragment(m=1, nh=17) / UDP(sport=1, dport=6080, len=99) / bytes(8),
        IP(src=A4, dst=B4, flags="MF") / UDP(sport=1, dport=9, len=99) / bytes(8),
    ],
)
def test_first_fragments_are_not_verified(packet: Any) -> None:
    found = dissect_packet(bytes(packet))
    assert "fragment" in states(found)


@pytest.mark.parametrize(
    "packet",
    [
        INNER6 / IPv6ExtHdrFragment(offset=9, nh=17) / bytes(8),
        IP(src=A4, dst=B4, frag=9, proto=17) / bytes(8),
    ],
)
def test_later_fragments_are_not_taken_for_headers(packet: Any) -> None:
    found = dissect_packet(bytes(packet))
    assert "udp" not in kinds(found)
    assert found.payload == bytes(8)


def test_gre_and_ethernet_inside() -> None:
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=5) / INNER4)
    found = dissect_packet(bytes(outer(encap.encode(Gue(143), frame))))
    assert kinds(found) == ["ipv4", "udp", "gue0", "ethernet", "ipv4"]
    assert layers(found)[3]["vlans"] == [5]
    inner = bytes(GRE(key_present=1, key=77, chksum_present=1) / INNER4 / ICMP())
    found = dissect_packet(bytes(outer(encap.encode(Gutless(47), inner))))
    assert kinds(found) == ["ipv4", "udp", "gutless", "gre", "ipv4", "icmp"]
    assert layers(found)[3]["key"] == 77
    assert set(states(found)) == {"ok"}


def test_ports() -> None:
    inner = bytes(INNER4 / ICMP())
    other = bytes(outer(encap.encode(Gue(4), inner), port=19523))
    assert kinds(dissect_packet(other)) == ["ipv4", "udp"]
    ports = Ports(frozenset({19523}))
    assert kinds(dissect_packet(other, ports))[2] == "gue0"
    # a reply comes from the port
    back = bytes(outer(encap.encode(Gue(4), inner), port=40000, source=6080))
    assert kinds(dissect_packet(back))[2] == "gue0"
    fou = bytes(outer(inner, port=5555))
    found = dissect_packet(fou, Ports(fou={5555: 4}))
    assert kinds(found) == ["ipv4", "udp", "fou", "ipv4", "icmp"]
    # SCTP on a FOU port begins with what looks like a format
    sctp = bytes(outer(bytes(SCTP(sport=22, dport=33) / SCTPChunkInit()), port=5556))
    found = dissect_packet(sctp, Ports(fou={5556: 132}))
    assert kinds(found) == ["ipv4", "udp", "fou", "sctp"]
    assert set(states(found)) == {"ok"}


def test_transport_mode_checksums() -> None:
    """Behind GUT-less the addresses are left out, behind GUE they are those of the outer header."""
    segment = bytes.fromhex("1f90 0050 00000001 00000000 5002 2000 0000 0000")
    bare = segment[:16] + encap.transport_checksum(None, None, 6, segment).to_bytes(2, "big")
    found = dissect_packet(bytes(outer(encap.encode(Gutless(6), bare + segment[18:]))))
    assert kinds(found) == ["ipv4", "udp", "gutless", "tcp"]
    assert set(states(found)) == {"ok"}
    with_addresses = bytes(IP(src=A4, dst=B4) / TCP(sport=8080, dport=80, seq=1))[20:]
    found = dissect_packet(bytes(outer(encap.encode(Gue(6), with_addresses))))
    assert set(states(found)) == {"ok"}
    found = dissect_packet(bytes(outer(encap.encode(Gutless(6), with_addresses))))
    assert states(found)[-1] == "bad"


def test_remote_checksum_offload() -> None:
    """Linux sends the inner checksum field with the pseudo-header's sum alone."""
    inner = bytearray(bytes(INNER4 / UDP(sport=1, dport=2) / b"xyz"))
    pseudo = struct.pack("!4s4sHH", _octets("10.9.0.1"), _octets("10.9.0.2"), 17, 11)
    inner[26:28] = encap.ones_sum(pseudo).to_bytes(2, "big")
    remote = encap.RemoteChecksum(20, 26)
    for header in (Gue(4, remote=remote), Gue(4, private=encap.Private(remote))):
        found = dissect_packet(bytes(outer(encap.encode(header, bytes(inner)))))
        assert states(found) == ["ok", "ok", "ok", "remote"]
    option = encap.RemoteOffload(20, 26).option()
    header2 = Gutless(4, encap.pad([option]))
    found = dissect_packet(bytes(outer(encap.encode(header2, bytes(inner)))))
    assert states(found)[-1] == "remote"


def test_check_word() -> None:
    sealed = encap.seal(encap.encode(Gutless(4), bytes(INNER4 / ICMP())))
    assert layers(dissect_payload(sealed))[0]["check_state"] == "ok"
    broken = sealed[:-1] + bytes([sealed[-1] ^ 1])
    found = dissect_payload(broken)
    assert layers(found)[0]["check_state"] == "bad"
    assert "bad" in found.layers[0].title


def test_every_field_of_gue() -> None:
    header = Gue(
        59,
        group=7,
        security=encap.Hmac(9, 4, 16, b"\xab" * 32),
        fragment=encap.Fragment(0, False, 4, 255),
        transform=encap.Transform(1, 4, 5),
        remote=encap.RemoteChecksum(20, 26),
        checksum=encap.HeaderChecksum(0xBEEF, 20),
        nat=0x1234,
        alternate=encap.AlternateChecksum(20, 0x01020304),
        magic=True,
        private=encap.Private(encap.RemoteChecksum(1, 2)),
        surplus=b"abcd",
    )
    found = dissect_payload(encap.encode(header))
    told = layers(found)[0]
    assert told["group"] == 7
    assert told["security"]["hmac"] == "ab" * 32
    assert told["fragment"]["identification"] == 255
    assert told["transform"] == {"type": 1, "protocol": 4, "info": 5}
    assert told["remote_checksum"] == {"start": 20, "offset": 26}
    assert told["header_checksum"] == {"checksum": 0xBEEF, "coverage": 20}
    assert told["nat_address_checksum"] == 0x1234
    assert told["alternate_checksum"] == {"coverage": 20, "crc": 0x01020304}
    assert told["magic"] is True
    assert told["private_flags"] == {"remote_checksum": {"start": 1, "offset": 2}}
    assert told["surplus"] == "61626364"
    text = "\n".join(found.lines(short=True))
    for word in ("group", "hmac abab", "identification 255", "crc 16909060", "surplus"):
        assert word in text


def test_example_of_the_documentation() -> None:
    header = Gutless(4, encap.pad([encap.Group(7).option()]))
    packet = bytes(outer(encap.encode(header, bytes(INNER4 / ICMP()))))
    assert list(dissect_packet(packet).lines(short=True)) == [
        "IPv4 203.0.113.5 -> 198.51.100.7, UDP 50164 -> 6080, checksum ok",
        "GUT-less  next IPv4, 8 octets of options, Check unused",
        "  group  7",
        "  pad    2",
        "IPv4 10.9.0.1 -> 10.9.0.2, ICMP echo request",
    ]


def test_option_without_sense_is_shown_with_its_octets() -> None:
    wire = encap.encode(Gutless(59, encap.pad([Option(0x1C, b"abc"), Option(0x9E, b"x")])))
    option, unknown, *_ = layers(dissect_payload(wire))[0]["options"]
    assert option["data"] == "616263"
    assert "12" not in option and "problem" in option
    assert unknown["name"] == "experiment-9e"
    assert unknown["action"] == "report"


def test_control_messages() -> None:
    wire = encap.encode(Gutless(1, control=True), encap.Echo(1, 2, b"hey").encode())
    told = layers(dissect_payload(wire))[0]
    assert (told["id"], told["sequence"], told["data"]) == (1, 2, "686579")
    wire = encap.encode(Gutless(3, control=True), encap.Report(2, 4, b"quote").encode())
    assert layers(dissect_payload(wire))[0]["quote"] == b"quote".hex()
    found = dissect_payload(encap.encode(Gutless(1, control=True), b"x"))
    assert found.problem is not None
    found = dissect_payload(encap.encode(Gue(255, control=True), b"body"))
    assert found.payload == b"body"


@pytest.mark.parametrize("header", [Gue(4), Gutless(4), encap.Bare(4)])
def test_nesting_is_followed_to_its_depth_and_no_further(header: Any) -> None:
    packet = bytes(INNER4 / ICMP())
    for depth in range(1, 12):
        packet = bytes(outer(encap.encode(header, packet)))
        found = dissect_packet(packet)
        if depth <= DEPTH_MAX:
            assert found.problem is None
            assert kinds(found).count("udp") == depth
            assert kinds(found)[-1] == "icmp"
        else:
            assert found.problem is not None
            assert found.problem.reason == "nesting"


@pytest.mark.parametrize(
    ("link", "frame", "first"),
    [
        (1, bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / INNER4), "ethernet"),
        (101, bytes(INNER4), "ipv4"),
        (101, bytes(INNER6), "ipv6"),
        (228, bytes(INNER4), "ipv4"),
        (229, bytes(INNER6), "ipv6"),
        (0, b"\x02\0\0\0" + bytes(INNER4), "null"),
        (0, b"\0\0\0\x1e" + bytes(INNER6), "null"),
        (108, b"\0\0\0\x02" + bytes(INNER4), "null"),
        (113, bytes(CookedLinux(proto=0x0800) / INNER4), "cooked"),
        (276, bytes.fromhex("0800000000000003000100060200000000010000") + bytes(INNER4), "cooked"),
    ],
)  # fmt: skip
def test_link_types(link: int, frame: bytes, first: str) -> None:
    found = dissect_frame(link, frame)
    assert found.problem is None
    assert kinds(found)[0] == first
    assert any(kind in ("ipv4", "ipv6") for kind in kinds(found))


def test_unknown_link_type_is_a_sentence() -> None:
    found = dissect_frame(9999, b"abc")
    assert found.problem is not None
    assert "link type 9999" in "\n".join(found.lines())


def test_ethernet_padding_is_no_payload() -> None:
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / INNER4 / ICMP())
    found = dissect_frame(1, frame + bytes(18))
    assert found.payload == b""
    assert set(states(found)) == {"ok"}


def test_a_frame_that_the_capture_cut_says_so() -> None:
    packet = bytes(outer(encap.encode(Gue(4), bytes(INNER4 / TCP() / bytes(200)))))
    found = dissect_packet(packet[:90], length=len(packet))
    assert found.problem is None
    assert states(found) == ["ok", "cut", "ok", "cut"]
    found = dissect_packet(packet[:50], length=len(packet))
    assert found.problem is not None
    assert found.problem.hint == "the packet is cut"


SEEDS = [
    bytes(outer(encap.encode(Gue(4, group=7, surplus=bytes(8)), bytes(INNER4 / TCP())))),
    bytes(outer(encap.encode(Gutless(41, encap.pad([encap.Timing(1, 2).option()])),
                             bytes(INNER6 / IPv6ExtHdrHopByHop() / UDP() / b"x")), version=6)),
    bytes(outer(encap.encode(Gutless(132), bytes(SCTP() / SCTPChunkInit())))),
    bytes(outer(encap.encode(Gue(143), bytes(Ether() / Dot1Q() / INNER4 / ICMP())))),
    bytes(outer(encap.encode(Gutless(47), bytes(GRE() / INNER6 / ICMPv6EchoRequest())))),
    bytes(INNER4 / b"") [:9] + b"\x21" + bytes(INNER4)[10:] + bytes.fromhex("0001000205000000" + "01" * 12),
]  # fmt: skip


def check_record(found: Dissection, data: bytes) -> None:
    json.dumps(found.to_json())
    for short in (False, True):
        text = "\n".join(found.lines(short=short))
        assert text.isprintable() or "\n" in text
    at = 0
    for layer in found.layers:
        assert layer.offset >= at
        at = layer.offset + layer.octets
        assert at <= len(data)


@settings(max_examples=300)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_packets_give_a_record(seed: bytes, data: st.DataObject) -> None:
    octets = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(octets[: data.draw(st.integers(0, len(octets)))])
    check_record(dissect_packet(cut), cut)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_truncation_gives_a_record(seed: bytes) -> None:
    for size in range(len(seed)):
        check_record(dissect_packet(seed[:size]), seed[:size])
        check_record(dissect_packet(seed[:size], length=len(seed)), seed[:size])


@given(
    st.sampled_from([0, 1, 101, 108, 113, 228, 276, 77]),
    st.binary(max_size=120),
    st.integers(0, 255),
)
def test_any_octets_give_a_record(link: int, data: bytes, protocol: int) -> None:
    check_record(dissect_frame(link, data), data)
    check_record(dissect_packet(data), data)
    check_record(dissect_payload(data), data)
    if protocol:
        check_record(dissect_payload(data, fou_protocol=protocol), data)
        packet = bytes(IP(src=A4, dst=B4, proto=protocol)) + data
        check_record(dissect_packet(packet), packet)
