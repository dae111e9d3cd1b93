# SPDX-License-Identifier: Apache-2.0
"""The dissector for Wireshark, run by tshark, against gutctl decode and the scapy layer: three readers of the same octets."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

from encap_strategies import gue_headers, gutless_headers
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from readers import EXPERTS, Seen, by_gutctl, by_scapy, by_tshark, without

from gutctl import encap
from gutctl._wire.optiontype import types
from gutctl.dissect import Ports, dissect_packet
from gutctl.encap import Gutless, Option, checksum, udp_checksum

A4, B4 = ip_address("203.0.113.5"), ip_address("198.51.100.7")
INNER = bytes.fromhex("4500001c00010000400166cc0a0900010a0900020800f7fe00000001")


def packet(payload: bytes, dport: int = 6080) -> bytes:
    """An IPv4 packet with UDP."""
    datagram = struct.pack("!HHHH", 50164, dport, 8 + len(payload), 0) + payload
    datagram = datagram[:6] + udp_checksum(A4, B4, datagram).to_bytes(2, "big") + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0x4000, 64, 17, 0) + A4.packed + B4.packed
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + datagram


def agree(packets: list[bytes]) -> list[Seen]:
    """All three say the same of every packet. Returns what tshark said."""
    shown = by_tshark(packets)
    for octets, seen in zip(packets, shown, strict=True):
        told = by_gutctl(octets)
        assert seen.headers == told, octets.hex()
        assert by_scapy(octets) == [without(one, "check_state", "values") for one in told], octets.hex()
    return shown


def test_headers_are_read_alike() -> None:
    """Any header that there can be; what is behind it is no packet."""
    made: list[bytes] = []

    @settings(max_examples=200, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(gutless_headers() | gue_headers(), st.binary(min_size=4, max_size=40))
    def collect(header: Any, body: bytes) -> None:
        # a report's reserved bits are refused by gutctl and shown by tshark
        if not (header.control and header.protocol == 3):
            made.append(packet(encap.encode(header, body)))

    collect()
    assert len(made) > 100
    agree(made)


def test_every_declared_type_is_known() -> None:
    """Names, fields and their values are those that gutctl declares; a type that is declared anew has to be told here."""
    options = []
    for one in types():
        if not one.origin.startswith("gutctl."):
            continue
        assert one.value is None or one.layout or one.name in ("observed-address", "understood")
        size = one.layout.octets if one.layout else 7
        data = bytes(range(0x81, 0x81 + size))
        match one.name:
            case "remote-checksum":
                data = bytes.fromhex("00040006")
            case "observed-address":
                data = bytes.fromhex("04c3f4cb007105")
        options.append(Option(one.number, b"" if one.number == 0 else data))
    options.append(Option(0x1B, bytes.fromhex("06c3f420010db8000000000000000000000001")))
    packets = [packet(encap.encode(Gutless(4, encap.pad([one])), INNER)) for one in options]
    for one, seen in zip(options, agree(packets), strict=True):
        assert seen.told == set(), (one, seen.told)
        assert (one.type in (0, 1)) == (not seen.headers[0]["options"])


def gutless(area: str, inner: bytes = INNER, *, protocol: int = 4, check: str = "0000", first: int = 0x80) -> bytes:
    options = bytes.fromhex(area)
    return bytes((first | len(options) // 4, protocol)) + bytes.fromhex(check) + options + inner


BAD: list[tuple[str, bytes, set[str]]] = [
    ("right", gutless(""), set()),
    ("Check", gutless("", check="7ffb"), set()),
    ("Check, an odd number of octets", encap.seal(gutless("", b"\1\2\3", protocol=59)), set()),
    ("Check of another packet", gutless("", check="7ffc"), {"gutless.check.bad"}),
    ("Check and a remote checksum", encap.seal(gutless("5904000200040100")), {"gutless.check.remote"}),
    ("Hlen", gutless("", b"", first=0x81), {"gutless.truncated"}),
    ("three octets", b"\x80\x04\x00", {"gutless.truncated"}),
    ("reserved", b"\xc0" + bytes(40), {"gutless.variant.unknown"}),
    ("version 5", b"\x50" + bytes(40), {"gutless.variant.unknown"}),
    ("next header 0", gutless("", protocol=0), {"gutless.next_header.zero"}),
    ("overrun by one", gutless("1e030000"), {"gutless.option.overrun"}),
    ("no length", gutless("0000001e"), {"gutless.option.overrun"}),
    ("group of three octets", gutless("580300000700 0000".replace(" ", "")), {"gutless.option.size"}),
    ("timing without data", gutless("1c000000"), {"gutless.option.size"}),
    ("observed address of family 5", gutless("1b0405c3f4cb0000"), {"gutless.option.size"}),
    ("group twice", gutless("580400000007580400000007"), {"gutless.option.twice"}),
    ("start behind offset", gutless("5904000600040100"), {"gutless.option.remote_checksum.bad"}),
    ("offset at the end", gutless("590400020 01b0100".replace(" ", "")), {"gutless.option.remote_checksum.bad"}),
    ("who knows it", gutless("7d020000"), {"gutless.option.unknown"}),
    ("nobody has to", gutless("3d020000"), set()),
    ("a short echo", gutless("", b"\0\1\0", protocol=1, first=0xA0), {"gutless.control.body"}),
    ("a long report", gutless("", bytes(69), protocol=3, first=0xA0), {"gutless.control.body"}),
    ("a report", gutless("", bytes(68), protocol=3, first=0xA0), set()),
    ("TCP", gutless("", bytes.fromhex("1f90005000000001000000005002200070020000"), protocol=6), set()),
    ("TCP, damaged", gutless("", bytes.fromhex("1f90005000000001000000005002200070020001"), protocol=6), {"gutless.transport.bad"}),
    ("GUE flag", b"\0\4\0\2" + INNER, {"gue0.flags.undefined"}),
    ("GUE security 5", b"\x0a\4\x50\0" + bytes(40) + INNER, {"gue0.flags.undefined"}),
    ("GUE length", b"\0\4\x80\0" + INNER, {"gue0.length"}),
    ("GUE private length", b"\1\4\0\1\x80\0\0\0" + INNER, {"gue0.length"}),
    ("GUE cut", b"\1\4\0", {"gue0.truncated"}),
    ("GUE protocol", b"\0\0\0\0" + INNER, {"gue0.protocol.zero"}),
    ("GUE magic", b"\2\4\0\x20" + bytes(8) + INNER, {"gue0.magic.bad"}),
    ("GUE remote", b"\1\4\2\0\0\4\0\2" + INNER, {"gue0.remote_checksum.bad"}),
    ("GUE private remote", b"\2\4\0\1\x80\0\0\0\0\4\0\2" + INNER, {"gue0.remote_checksum.bad"}),
]


def test_what_is_wrong_is_told() -> None:
    seen = by_tshark([packet(payload) for _, payload, _ in BAD])
    found = {name: one.told for (name, _, _), one in zip(BAD, seen, strict=True)}
    assert found == {name: told for name, _, told in BAD}
    assert set().union(*found.values()) == EXPERTS, "a complaint that nothing brings up"


def test_any_octets() -> None:
    """Whatever the first octet, cut anywhere: no error of the script (by_tshark looks for those)."""
    fill = bytes((4, 0x91, 0x21, 1, 0, 0, 0x59, 4, 0, 2, 0))
    by_tshark([packet((bytes((first,)) + fill)[:size]) for first in range(256) for size in (1, 4, 9)])


def test_inner_packets_are_handed_on() -> None:
    inner6 = bytes.fromhex("6000000000003b40") + bytes(32)
    frame = bytes(12) + b"\x08\0" + INNER
    gre = b"\0\0\x08\0" + INNER
    tcp = bytes.fromhex("1f90005000000001000000005002200070020000")
    payloads = {
        INNER: ["gutless", "ip", "icmp"],
        inner6: ["gutless", "ipv6"],
        gutless("") + b"": ["gutless", "ip", "icmp"],
        gutless("", frame, protocol=143): ["gutless", "eth", "ip", "icmp"],
        gutless("", gre, protocol=47): ["gutless", "gre", "ip", "icmp"],
        gutless("", tcp, protocol=6): ["gutless", "tcp"],
        b"\0\4\0\0" + INNER: ["gue0", "ip", "icmp"],
        b"\0\x29\0\0" + inner6: ["gue0", "ipv6"],
        b"\0\4\0\0" + packet(gutless("")): ["gue0", "ip", "udp", "gutless", "ip", "icmp"],
        b"\2\4\x08\0" + struct.pack("!HBIB", 8 << 3, 4, 1, 0) + INNER: ["gue0"],
    }
    for payload, seen in zip(payloads, by_tshark([packet(one) for one in payloads]), strict=True):
        assert seen.protocols == payloads[payload]


def test_ports_are_preferences() -> None:
    octets = [packet(gutless(""), 7000), packet(INNER, 5555), packet(b"\0\0\x08\0" + INNER, 5556), packet(gutless(""))]
    seen = by_tshark(octets, "gutless.ports:7000-7003", "gutless.fou:5555:4,5556:47")
    assert [one.protocols for one in seen] == [
        ["gutless", "ip", "icmp"],
        ["gutless_fou", "ip", "icmp"],
        ["gutless_fou", "gre", "ip", "icmp"],
        [],
    ]
    ports = Ports(frozenset(), {5555: 4, 5556: 47})
    assert [dissect_packet(one, ports).layers[2].kind for one in octets[1:3]] == ["fou", "fou"]


def test_a_packet_that_the_capture_cut() -> None:
    """Octets that are not there are not summed."""
    whole = packet(encap.seal(gutless("", INNER + bytes(40))))
    (seen,) = by_tshark([whole[:70]], cut=len(whole) - 70)
    assert [one["check_state"] for one in seen.headers] == ["cut"]
    assert seen.told == set()
