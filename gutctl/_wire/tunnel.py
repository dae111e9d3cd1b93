# SPDX-License-Identifier: Apache-2.0
"""FOU, GUE, bare and GUT-less behind UDP, as layers of a dissection."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from gutctl._wire.control import CONTROL_NAMES, decode_control
from gutctl._wire.error import EncapError
from gutctl._wire.gue import Gue, Hmac, RemoteChecksum, decode_gue
from gutctl._wire.guefields import gue_checksum_state, gue_pseudo_sum
from gutctl._wire.gutless import Gutless, decode_gutless
from gutctl._wire.names import protocol_name
from gutctl._wire.options import Option, option_value
from gutctl._wire.record import Field, Layer
from gutctl._wire.remote import remote_fits, remote_of, remote_value
from gutctl._wire.sums import check_state
from gutctl._wire.verdict import Dropped, payload_format, receive_verdict
from gutctl._wire.walk import Found, Place, checksum_words


def fou(place: Place, protocol: int) -> Found:
    """A FOU port: nothing to see but what the port is declared to carry."""
    name = protocol_name(protocol)
    fields = (Field("protocol", protocol, f"protocol {protocol}, as declared for the port"),)
    layer = Layer("fou", "FOU", f"FOU  {name}", place.at, 0, fields)
    return Found(layer, protocol, replace(place, carrier="fou"), tunnel=True)


def tunnel(place: Place, *, udp_checksum: bool, udp_ports: tuple[int, int] | None = None) -> Found:
    """One of the formats that share a port, told by their first two bits.

    ``udp_ports``: source and destination, which GUE's own checksum covers; None: not known.
    Raises EncapError with ``where`` counted from the start of the frame.
    """
    if place.left == 0:
        raise EncapError("the UDP payload is empty", place.at, None, "truncated")
    payload = place.rest
    form = payload_format(payload[0])
    pseudo = None
    if udp_ports and place.source is not None and place.destination is not None:
        pseudo = gue_pseudo_sum(place.source, place.destination, *udp_ports)
    verdict = _verdict(payload, udp_checksum, None if place.unverified else pseudo)
    try:
        if form == "gue0":
            return _gue(place, payload, verdict, pseudo)
        if form == "gutless":
            return _gutless(place, payload, verdict)
    except EncapError as error:
        where = place.at + (error.where or 0)
        raise EncapError(error.what, where, error.hint, error.reason) from None
    if form == "bare":
        version = payload[0] >> 4
        layer = Layer("bare", "Bare", f"Bare IPv{version}", place.at, 0, verdict)
        protocol = 4 if version == 4 else 41
        return Found(layer, protocol, replace(place, carrier="bare"), tunnel=True)
    raise EncapError(
        f"no format begins with 0x{payload[0]:02x}",
        place.at,
        "what a FOU port carries has to be told: --fou PORT:PROTOCOL",
        "variant",
    )


def _verdict(payload: bytes, udp_checksum: bool, pseudo: int | None) -> tuple[Field, ...]:
    """What a port with default settings does with it, worth a word where it drops."""
    verdict = receive_verdict(payload, udp_checksum=udp_checksum, pseudo=pseudo)
    if isinstance(verdict, Dropped):
        text = f"a port with default settings drops it: {verdict.reason}"
        return (Field("drop_reason", verdict.reason, text),)
    return (Field("drop_reason", None, ""),)


def _plain(value: Any) -> Any:
    """A field of the header as JSON's types."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, frozenset):
        return " ".join(f"0x{number:02x}" for number in sorted(value))
    return value


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {item}" for name, item in value.items())
    return str(value)


_GUE_FIELDS = {
    "group": "group",
    "security": "security",
    "fragment": "fragment",
    "transform": "transform",
    "remote": "remote checksum",
    "checksum": "header checksum",
    "nat": "nat address checksum",
    "alternate": "alternate checksum",
}


def _gue_state(place: Place, header: Gue, payload: bytes, pseudo: int | None) -> str:
    """Of the draft's checksum; why it could not be verified, where it could not."""
    if place.unverified:
        return place.unverified
    return "no IP header" if pseudo is None else gue_checksum_state(header, payload, pseudo)


def _gue(place: Place, payload: bytes, verdict: tuple[Field, ...], pseudo: int | None) -> Found:
    header, size = decode_gue(payload)
    fields = [
        Field("control", header.control, ""),
        Field("control_type" if header.control else "protocol", header.protocol, ""),
        Field("hlen", (size - 4) // 4, f"hlen {(size - 4) // 4}"),
        Field("flags", header.flags, f"flags 0x{header.flags:04x}"),
        *verdict,
    ]
    for name, label in _GUE_FIELDS.items():
        value = getattr(header, name)
        if value is None:
            continue
        if isinstance(value, bytes):
            value = {"cookie": value.hex()}
        elif not isinstance(value, int):
            value = _plain(asdict(value))
        if isinstance(header.security, Hmac) and name == "security":
            value = {"hmac": value.pop("mac"), **value}
        text = _words(value)
        if name == "checksum":
            state = _gue_state(place, header, payload[size:], pseudo)
            fields.append(Field("header_checksum_state", state, ""))
            text += f", {checksum_words(state)}"
        fields.append(Field(label.replace(" ", "_"), value, text, own_line=True))
    if header.magic:
        fields.append(Field("magic", True, "ffd871a2b4e7c965", own_line=True))
    if header.private is not None:
        remote = header.private.remote
        found = {"remote_checksum": asdict(remote)} if remote else {}
        text = f"remote checksum: {_words(asdict(remote))}" if remote else "none set"
        fields.append(Field("private_flags", found, text, own_line=True))
    if header.surplus:
        fields.append(Field("surplus", header.surplus.hex(), own_line=True))
    title = f"GUE  {_what(header)}, {_size(size, 'of fields')}"
    layer = Layer("gue0", "GUE", title, place.at, size, tuple(fields))
    after = replace(place.past(size), carrier="gue0")
    after = _left_to_receiver(after, remote_of(header))
    part = header.fragment
    if part is not None and (part.offset or part.more):
        after = replace(after, unverified=after.unverified or "fragment")
    whole = part is None or part.offset == 0
    protocol = None if header.control or not whole else header.protocol
    if part is not None and whole and not header.control:
        protocol = part.protocol
    return Found(layer, protocol, after, tunnel=True)


def _left_to_receiver(after: Place, remote: RemoteChecksum | None) -> Place:
    """Tells who verifies checksums further in that one of them is still to be made, and what will come of it."""
    if remote is None or not remote_fits(remote, after.left):
        return after
    return replace(after, remote_at=after.at + remote.offset, remote_value=remote_value(after.rest, remote))


def _what(header: Gue | Gutless) -> str:
    if not header.control:
        return f"next {protocol_name(header.protocol)}"
    name = f"type {header.protocol}"
    if isinstance(header, Gutless):
        name = CONTROL_NAMES.get(header.protocol, name)
    return f"control {name}"


def _size(size: int, what: str) -> str:
    return f"{size - 4} octets {what}" if size > 4 else f"no {what.removeprefix('of ')}"


def _option(option: Option) -> Field:
    """One option: its value where the type has one, its octets where not."""
    found: dict[str, Any] = {"type": option.type, "name": option.name}
    if option.padding:
        found["octets"] = option.octets
        return Field("options", [found], str(option.octets), own_line=True)
    found |= {
        "action": option.action.name.lower(),
        "mutable": option.mutable,
        "data": option.data.hex(),
    }
    try:
        value = option_value(option)
    except EncapError as error:
        found["problem"] = error.what
        text = f"{option.data.hex()} ({error.what})"
        return Field("options", [found], text, own_line=True)
    if value is None:
        text = option.data.hex() or "no data"
        return Field("options", [found], text, own_line=True)
    plain = {name: item if isinstance(item, int | bool | str) else _plain(item) for name, item in value.values().items()}
    plain = {name: str(item) if not isinstance(item, int | str) else item for name, item in plain.items()}
    found["value"] = plain
    text = str(plain["id"]) if set(plain) == {"id"} else _words(plain)
    return Field("options", [found], text, own_line=True)


def _gutless(place: Place, payload: bytes, verdict: tuple[Field, ...]) -> Found:
    header, size = decode_gutless(payload)
    state = place.unverified if place.unverified and header.check else check_state(payload)
    words = {
        "none": "unused",
        "ok": f"0x{header.check:04x} ok",
        "bad": f"0x{header.check:04x} bad",
    }
    check = words.get(state, f"0x{header.check:04x} not verified ({state})")
    fields = (
        Field("control", header.control, ""),
        Field("control_type" if header.control else "next_header", header.protocol, ""),
        Field("hlen", (size - 4) // 4, f"hlen {(size - 4) // 4}"),
        Field("check", header.check, ""),
        Field("check_state", state, ""),
        Field("options", [], ""),
        *verdict,
        *(_option(option) for option in header.options),
    )
    after = replace(place.past(size), carrier="gutless")
    with suppress(EncapError):  # told where the option is shown
        after = _left_to_receiver(after, remote_of(header))
    body: tuple[Field, ...] = ()
    if header.control:
        found = decode_control(header.protocol, payload[size:])
        if found is not None:
            body = tuple(Field(name, _plain(value), own_line=True) for name, value in asdict(found).items())
            after = after.past(after.left)
    title = f"GUT-less  {_what(header)}, {_size(size, 'of options')}, Check {check}"
    layer = Layer("gutless", "GUT-less", title, place.at, size, fields + body)
    protocol = None if header.control else header.protocol
    return Found(layer, protocol, after, tunnel=True)
