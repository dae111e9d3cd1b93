# SPDX-License-Identifier: Apache-2.0
"""What the kernel module does with a payload, rule by rule."""

from __future__ import annotations

import pytest
from encap_strategies import gue_headers, gutless_headers
from hypothesis import given
from hypothesis import strategies as st

from gutctl import encap
from gutctl.encap import Accepted, Control, Dropped, Gue, Gutless, Option, receive_verdict

IP4 = b"\x45" + bytes(19)
IP6 = b"\x60" + bytes(39)
REASONS = {
    *("truncated", "variant", "format", "flags", "length", "control", "options"),
    *("check", "protocol-zero", "protocol", "inner", "remcsum", "gue-csum"),
}


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        (IP4, Accepted(4, 0)),
        (IP6, Accepted(41, 0)),
        (encap.encode(Gue(4), IP4), Accepted(4, 4)),
        (encap.encode(Gue(41), IP6), Accepted(41, 4)),
        (encap.encode(Gue(47), bytes(4)), Accepted(47, 4)),
        (encap.encode(Gue(143), bytes(14)), Accepted(143, 4)),
        (encap.encode(Gue(4, surplus=bytes(124)), IP4), Accepted(4, 128)),
        (encap.encode(Gutless(4), IP4), Accepted(4, 4)),
        (encap.encode(Gutless(4, (Option(0),) * 4), IP4), Accepted(4, 8)),
        (encap.encode(Gutless(4, (Option(1, bytes(122)),)), IP4), Accepted(4, 128)),
        # a type that says "skip", known or not
        (encap.encode(Gutless(4, encap.pad([Option(0x1C, bytes(12))])), IP4), Accepted(4, 20)),
        (encap.encode(Gutless(4, encap.pad([Option(0x3F, b"x")])), IP4), Accepted(4, 8)),
        # padding that is not zero is padding
        (encap.encode(Gutless(4, (Option(1, b"xy"),)), IP4), Accepted(4, 8)),
        (b"", Dropped("truncated")),
        (b"\x00", Dropped("truncated")),
        (b"\x80\x04\x00", Dropped("truncated")),
        (b"\x01\x04\x00\x00\x00\x00\x00", Dropped("truncated")),
        (b"\x50" + bytes(40), Dropped("variant")),
        (b"\x70" + bytes(40), Dropped("variant")),
        (b"\xc0", Dropped("variant")),
        (b"\xff" * 60, Dropped("variant")),
        (encap.encode(Gue(4, group=7), IP4), Dropped("flags")),
        (b"\x00\x04\x00\x02" + IP4, Dropped("flags")),
        (b"\x1f\x04\x70\x00" + bytes(200), Dropped("flags")),
        (b"\x00\x04\x80\x00" + IP4, Dropped("length")),
        (b"\x00\x04\x00\x01" + IP4, Dropped("length")),
        (encap.encode(Gue(0, control=True)), Dropped("control")),
        (encap.encode(Gue(4, control=True), IP4), Dropped("control")),
        (b"\x21\x04\x80\x00" + bytes(4), Dropped("control")),
        (b"\x22\x04\x08\x00" + bytes(8), Dropped("flags")),
        (encap.encode(Gutless(1, control=True), bytes(8)), Control(1, 4)),
        (encap.encode(Gutless(2, control=True), bytes(4)), Control(2, 4)),
        (encap.encode(Gutless(3, control=True), bytes(68)), Control(3, 4)),
        (encap.encode(Gutless(3, control=True), bytes(69)), Dropped("control")),
        (encap.encode(Gutless(1, control=True), bytes(3)), Dropped("control")),
        (encap.encode(Gutless(4, control=True), bytes(8)), Dropped("control")),
        # remote checksum, in three forms: within what follows, and not
        (b"\x02\x04\x00\x01\x80\0\0\0\x00\x00\x00\x12" + IP4, Accepted(4, 12)),
        (b"\x02\x04\x00\x01\x80\0\0\0\x00\x00\x00\x13" + IP4, Dropped("remcsum")),
        (b"\x01\x04\x02\x00\x00\x12\x00\x12" + IP4, Accepted(4, 8)),
        (b"\x01\x04\x02\x00\x00\x12\x00\x10" + IP4, Dropped("remcsum")),
        (b"\x82\x04\0\0\x59\x04\x00\x00\x00\x12\0\0" + IP4, Accepted(4, 12)),
        (b"\x82\x04\0\0\x59\x04\x00\x00\x00\x11\0\0" + IP4, Dropped("remcsum")),
        # a number of 4 octets belongs to an experiment
        (b"\x20\xff\0\0" + bytes(3), Dropped("truncated")),
        (b"\x20\xff\0\0" + bytes(4), Dropped("control")),
        # in GUT-less the options are looked at before control
        (b"\xa1\x01\x00\x00\x58\xff\x00\x00", Dropped("options")),
        (b"\x81\x04\x00\x00\x01\x03\x00\x00" + IP4, Dropped("options")),
        (b"\x81\x04\x00\x00\x00\x00\x00\x01" + IP4, Dropped("options")),
        (b"\x81\x04\x00\x00\x58\x02\x00\x00" + IP4, Dropped("options")),
        (b"\x81\x04\x00\x00\x80\x02\x00\x00" + IP4, Dropped("options")),
        (b"\x81\x04\x00\x00\xc0\x02\x00\x00" + IP4, Dropped("options")),
        (encap.encode(Gue(0), IP4), Dropped("protocol-zero")),
        (b"\x80\x00\x00\x00" + IP4, Dropped("protocol-zero")),
        # options before protocol 0
        (b"\x81\x00\x00\x00\x01\x03\x00\x00", Dropped("options")),
        (encap.encode(Gue(6), bytes(20)), Dropped("protocol")),
        (encap.encode(Gutless(17), bytes(20)), Dropped("protocol")),
        (encap.encode(Gue(4), IP4[:-1]), Dropped("inner")),
        (encap.encode(Gue(4)), Dropped("inner")),
        (encap.encode(Gutless(41), IP6[:-1]), Dropped("inner")),
        (encap.encode(Gue(4), IP6), Dropped("inner")),
        (encap.encode(Gue(41), b"\x45" + bytes(60)), Dropped("inner")),
        (IP4[:-1], Dropped("inner")),
        (IP6[:-1], Dropped("inner")),
    ],
)  # fmt: skip
def test_default_port(payload: bytes, verdict: Accepted | Control | Dropped) -> None:
    assert receive_verdict(payload) == verdict


@pytest.mark.parametrize(
    ("protocol", "least"),
    [
        *((1, 8), (4, 20), (6, 20), (17, 8), (33, 12), (41, 40), (47, 4), (50, 8)),
        *((58, 8), (59, 0), (132, 12), (136, 8), (143, 14), (89, 0), (255, 0)),
    ],
)
@pytest.mark.parametrize("header", [Gue, Gutless])
def test_smallest_inner_header(protocol: int, least: int, header: type[Gue | Gutless]) -> None:
    body = {4: b"\x45", 41: b"\x60"}.get(protocol, b"") + bytes(60)
    for size in range(44):
        payload = encap.encode(header(protocol), body[:size])
        wanted = Accepted(protocol, 4) if size >= least else Dropped("inner")
        assert receive_verdict(payload, inner=range(256)) == wanted


def test_formats_not_accepted() -> None:
    payloads = {
        "gue0": encap.encode(Gue(4), IP4),
        "bare": IP4,
        "gutless": encap.encode(Gutless(4), IP4),
    }
    for name, payload in payloads.items():
        assert isinstance(receive_verdict(payload, accept={name}), Accepted)
        for other in set(payloads) - {name}:
            assert receive_verdict(payload, accept={other}) == Dropped("format")
    # the form is refused before its header is looked at
    assert receive_verdict(b"\x80", accept={"bare"}) == Dropped("format")
    assert receive_verdict(b"\x50", accept={"gue0"}) == Dropped("variant")


def test_fou_port() -> None:
    def fou(payload: bytes, protocol: int) -> Accepted | Dropped:
        return receive_verdict(payload, accept={"fou"}, fou_protocol=protocol, inner={protocol})

    assert fou(IP4, 4) == Accepted(4, 0)
    assert fou(IP6, 4) == Dropped("inner")
    assert fou(b"", 4) == Dropped("inner")
    assert fou(b"", 59) == Accepted(59, 0)
    # no format is looked for
    assert fou(b"\xff" * 12, 132) == Accepted(132, 0)
    with pytest.raises(encap.EncapError):
        receive_verdict(IP4, accept={"fou", "gue0"}, fou_protocol=4)
    with pytest.raises(encap.EncapError):
        receive_verdict(IP4, accept={"fou"})


def test_check_is_looked_at_only_without_a_udp_checksum() -> None:
    sealed = encap.seal(encap.encode(Gutless(4), IP4 + b"payload"))
    broken = sealed[:-1] + b"X"
    assert receive_verdict(sealed, udp_checksum=False) == Accepted(4, 4)
    assert receive_verdict(broken, udp_checksum=False) == Dropped("check")
    assert receive_verdict(broken, udp_checksum=True) == Accepted(4, 4)
    unused = encap.encode(Gutless(4), IP4 + b"payload")
    assert receive_verdict(unused, udp_checksum=False) == Accepted(4, 4)


@given(st.binary(max_size=160), st.booleans())
def test_any_octets_get_a_verdict(payload: bytes, udp_checksum: bool) -> None:
    verdict = receive_verdict(payload, inner=range(256), udp_checksum=udp_checksum)
    if isinstance(verdict, Accepted):
        # whatever passes can be taken apart, and in the same way
        decoded = encap.decode(payload)
        assert (decoded.protocol, decoded.consumed) == (
            verdict.protocol,
            verdict.header_octets,
        )
    elif isinstance(verdict, Control):
        assert verdict.counter in ("echo-requests", "echo-replies", "reports")
        assert payload[1] == verdict.type
    else:
        assert verdict.reason in REASONS


@given(gue_headers() | gutless_headers(), st.binary(min_size=40, max_size=60))
def test_valid_headers_are_dropped_for_what_they_say_alone(header: Gue | Gutless, payload: bytes) -> None:
    verdict = receive_verdict(encap.encode(header, payload), inner=set(range(256)) - {4, 41})
    two = isinstance(header, Gue) and header.remote and header.private and header.private.remote
    if isinstance(header, Gue) and (header.flags & ~0xB301 or header.flags & 0x4000 or two):
        assert verdict == Dropped("flags")
    elif header.control and isinstance(header, Gue):
        assert verdict == Dropped("control")
    elif isinstance(header, Gutless) and any(o.action and (o.type != 0x59 or header.control) for o in header.options):
        assert verdict == Dropped("options")
    elif header.control:
        assert verdict == (Control(header.protocol, header.octets) if header.protocol in (1, 2, 3) else Dropped("control"))
    elif header.protocol == 0:
        assert verdict == Dropped("protocol-zero")
    elif (remote := encap.remote_of(header)) and not encap.remote_fits(remote, len(payload)):
        assert verdict == Dropped("remcsum")
    elif isinstance(header, Gue) and (header.group is not None or header.security is not None):
        # fine, and not what this port was told to expect
        assert verdict == Dropped("flags")
    elif isinstance(header, Gue) and header.checksum is not None and header.checksum.coverage > len(payload):
        assert verdict == Dropped("gue-csum")
    elif header.protocol in (4, 41):
        assert verdict == Dropped("protocol")
    else:
        assert verdict == Accepted(header.protocol, header.octets)
