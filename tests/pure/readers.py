# SPDX-License-Identifier: Apache-2.0
"""The tunnel headers of a packet as three programs read them: gutctl decode, the scapy layer, tshark with the dissector.

Each reads octets on its own; what they say is brought into one form, a dict for each header:

    format, control, protocol, hlen               of all but bare IP, which has format alone
    check, check_state (not scapy), options       GUT-less; an option is (type, data in hex)
    values (not scapy)                            GUT-less: the fields of each option that has some
    flags, fields                                 GUE 0; fields by the name of the field and its part
    message                                       a control message's body
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import NoPayload

from gutctl.dissect import Ports, dissect_packet
from gutctl.pcap import LINK_RAW
from gutctl.scapy_layer import GUE, GUTless

ROOT = Path(__file__).resolve().parents[2]
LUA = ROOT / "contrib/wireshark/gutless.lua"
Header = dict[str, Any]
PORTS = Ports()
STATES = {"0": "bad", "1": "ok", "2": "cut", "3": "none"}


def without(header: Header, *names: str) -> Header:
    """A header less what one of the readers does not tell."""
    return {name: value for name, value in header.items() if name not in names}


def to_pcap(packets: list[bytes], cut: int = 0) -> bytes:
    """A capture of IP packets, all at the time 0; each was so many octets longer on the wire."""
    head = struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, LINK_RAW)
    return head + b"".join(struct.pack("!IIII", 0, 0, len(one), len(one) + cut) + one for one in packets)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _flat(prefix: str, value: Any) -> Header:
    if not isinstance(value, dict):
        return {prefix: _plain(value)}
    return {name: one for key, part in value.items() for name, one in _flat(f"{prefix}.{key}", part).items()}


# gutctl decode

_GUE_FIELDS = (
    *("group", "security", "fragment", "transform", "remote_checksum"),
    *("header_checksum", "nat_address_checksum", "alternate_checksum", "magic", "private_flags", "surplus"),
)
_MESSAGE = {1: ("id", "sequence", "data"), 2: ("id", "sequence", "data"), 3: ("code", "pointer", "quote")}


def by_gutctl(packet: bytes, ports: Ports = PORTS) -> list[Header]:
    """What ``gutctl decode --json`` says."""
    found = []
    for layer in dissect_packet(packet, ports).to_json()["layers"]:
        kind = layer["header"]
        if kind == "bare":
            found.append({"format": "bare"})
        if kind not in ("gue0", "gutless"):
            continue
        protocol = next(layer[name] for name in ("control_type", "next_header", "protocol") if name in layer)
        one: Header = {"format": kind, "control": int(layer["control"]), "protocol": protocol, "hlen": layer["hlen"]}
        if kind == "gue0":
            one["flags"] = layer["flags"]
            one["fields"] = {}
            for name in _GUE_FIELDS:
                if name in layer:
                    one["fields"] |= _flat(name, layer[name])
        else:
            one |= {"check": layer["check"], "check_state": layer["check_state"]}
            one["options"] = [(option["type"], option.get("data", "")) for option in layer["options"] if option["type"] > 1]
            one["values"] = [
                {name: _plain(value) for name, value in option["value"].items()} for option in layer["options"] if "value" in option
            ]
            if layer["control"]:
                one["message"] = {name: layer[name] for name in _MESSAGE.get(protocol, ()) if name in layer}
        found.append(one)
    return found


# scapy

_SCAPY_PARTS = {
    "group": {"": "group"},
    "security": {"": "security"},
    "fragment": {"offset": "fragment_offset", "more": "fragment_more", "protocol": "fragment_proto", "identification": "fragment_id"},
    "transform": {"type": "transform_type", "protocol": "transform_proto", "info": "transform_info"},
    "remote_checksum": {"start": "remote_start", "offset": "remote_offset"},
    "header_checksum": {"checksum": "header_checksum", "coverage": "header_coverage"},
    "nat_address_checksum": {"": "nat_checksum"},
    "alternate_checksum": {"coverage": "alternate_coverage", "crc": "alternate_crc"},
    "magic": {"": "M"},
    "private_flags.remote_checksum": {"start": "private_start", "offset": "private_offset"},
}


def _security(octets: bytes) -> Header:
    """What stands in the field SEC."""
    if len(octets) != 40:
        return {"security.cookie": octets.hex()}
    key, offset, length = struct.unpack_from("!IHH", octets)
    return {
        "security.key_id": key,
        "security.payload_offset": offset,
        "security.payload_length": length,
        "security.hmac": octets[8:].hex(),
    }


def _scapy_gue(layer: Any) -> Header:
    fields: Header = {}
    for name, parts in _SCAPY_PARTS.items():
        for part, field in parts.items():
            value = getattr(layer, field)
            if value in (None, b"") or (name == "magic" and not value):
                continue
            fields |= _security(value) if name == "security" else {f"{name}.{part}".rstrip("."): value}
    if layer.surplus:
        fields["surplus"] = layer.surplus.hex()
    bits = "".join(format(layer.getfieldval(name), f"0{size}b") for name, size in [("G", 1), ("SEC", 3)])
    bits += "".join(str(layer.getfieldval(name)) for name in "FTRKNAM") + format(layer.undefined, "04b") + str(layer.P)
    return {"flags": int(bits, 2), "fields": fields}


def by_scapy(packet: bytes) -> list[Header]:
    """What the scapy layer takes apart."""
    found: list[Header] = []
    layer: Any = (IP if packet[0] >> 4 == 4 else IPv6)(packet)
    before: Any = None
    while not isinstance(layer, NoPayload):
        if isinstance(layer, IP | IPv6) and isinstance(before, UDP):
            found.append({"format": "bare"})
        if isinstance(layer, GUE | GUTless):
            one: Header = {"format": "gue0", "control": layer.control, "protocol": layer.proto, "hlen": layer.hlen}
            if isinstance(layer, GUE):
                one |= _scapy_gue(layer)
            else:
                one |= {"format": "gutless", "check": layer.check}
                one["options"] = [(option.type, bytes(option.data or b"").hex()) for option in layer.options if option.type > 1]
                if layer.control:
                    one["message"] = _message(layer.proto, bytes(layer.payload))
            found.append(one)
        before, layer = layer, layer.payload
    return found


def _message(kind: int, body: bytes) -> Header:
    """A control message's body; scapy's layer leaves it in one piece."""
    if kind in (1, 2):
        first, second = struct.unpack_from("!HH", body)
        return {"id": first, "sequence": second, "data": body[4:].hex()}
    if kind == 3:
        return {"code": body[0], "pointer": body[1], "quote": body[4:].hex()}
    return {}


# tshark


@dataclass
class Seen:
    """A packet as tshark shows it."""

    headers: list[Header]
    told: set[str]
    """Experts: filter names of what is wrong."""
    protocols: list[str]
    """Layers behind the outer UDP header that have a dissector."""


def by_tshark(packets: list[bytes], *preferences: str, cut: int = 0) -> list[Seen]:
    """What tshark shows of each with the dissector, by one run of it; ``cut`` as for to_pcap."""
    program = shutil.which("tshark")
    assert program, "tshark is needed: apt-get install --no-install-recommends tshark"
    command = [program, "-n", "-X", f"lua_script:{LUA}", "-T", "pdml", "-r"]
    with tempfile.TemporaryDirectory() as scratch:
        capture = Path(scratch, "it.pcap")
        capture.write_bytes(to_pcap(packets, cut))
        options = [word for one in preferences for word in ("-o", one)]
        # whatever a person has set up for himself stays out of it
        env = dict(os.environ, HOME=scratch, XDG_CONFIG_HOME=scratch, WIRESHARK_CONFIG_DIR=scratch)
        done = subprocess.run([*command, str(capture), *options], check=False, capture_output=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Lua" not in done.stderr, done.stderr.decode()
    seen = [_seen(one) for one in ElementTree.fromstring(done.stdout).iter("packet")]
    assert len(seen) == len(packets)
    return seen


def _seen(packet: ElementTree.Element) -> Seen:
    protocols = [proto.get("name", "") for proto in packet.iter("proto")]
    assert "_ws.lua.text" not in protocols, ElementTree.tostring(packet).decode()
    headers = [header for proto in packet.iter("proto") if (header := _shown(proto)) is not None]
    told = {field.get("name", "") for field in packet.iter("field")}
    expert = {one for one in told if one.startswith(("gutless.", "gue0.")) and one in EXPERTS}
    wrong = [field.get("show") for field in packet.iter("field") if "Lua Error" in (field.get("show") or "") + (field.get("showname") or "")]
    assert not wrong, wrong
    inner = protocols[protocols.index("udp") + 1 :]
    return Seen(headers, expert, [one for one in inner if one not in ("data", "fake-field-wrapper")])


EXPERTS = frozenset(
    line.split('"')[1] for line in LUA.read_text().splitlines() if "ProtoExpert.new(" in line
)  # fmt: skip
"""Everything that the dissector can complain about."""


def _shown(proto: ElementTree.Element) -> Header | None:
    name = proto.get("name", "")
    if name not in ("gutless", "gue0"):
        return None
    if _field(proto, "gutless.bare") is not None:
        return {"format": "bare"}
    kind = _field(proto, f"{name}.control_type")
    protocol = kind or _field(proto, "gutless.next_header" if name == "gutless" else "gue0.protocol")
    if protocol is None:
        return {"format": name}
    one: Header = {
        "format": name,
        "control": int(kind is not None),
        "protocol": int(protocol),
        "hlen": int(_field(proto, f"{name}.hlen") or "-1"),
    }
    if name == "gue0":
        return one | {"flags": int(_field(proto, "gue0.flags") or "-1", 0), "fields": _shown_fields(proto)}
    one |= {"check": int(_field(proto, "gutless.check") or "-1", 0), "check_state": STATES[_field(proto, "gutless.check.status") or ""]}
    options = [option for option in proto.iter("field") if option.get("name") == "gutless.option"]
    typed = [(option, int(_field(option, "gutless.option.type") or "-1", 0)) for option in options]
    one["options"] = [(number, _hex(_field(option, "gutless.option.data"))) for option, number in typed if number > 1]
    one["values"] = [values for option, _ in typed if (values := _values(option))]
    if kind is not None:
        parts = {"1": "echo", "2": "echo", "3": "report"}.get(kind)
        one["message"] = {}
        for part in _MESSAGE.get(int(kind), ()):
            text = _field(proto, f"gutless.{parts}.{part}")
            one["message"][part] = _hex(text) if part in ("data", "quote") else int(text or "-1", 0)
    return one


def _field(tree: ElementTree.Element, name: str) -> str | None:
    """What is shown for the first field of a name."""
    return next((one.get("show") for one in tree.iter("field") if one.get("name") == name), None)


def _hex(text: str | None) -> str:
    return (text or "").replace(":", "")


def _number(text: str) -> Any:
    if text in ("True", "False"):
        return int(text == "True")
    try:
        return int(text, 0)
    except ValueError:
        return text


def _values(option: ElementTree.Element) -> Header:
    """The fields of an option's data: those that have the option's name in theirs."""
    head = f"gutless.option.{(_field(option, 'gutless.option.name') or '').replace('-', '_')}."
    found: Header = {}
    for field in option:
        name = field.get("name", "")
        if not name.startswith(head) or name in EXPERTS:
            continue
        key, text = name.removeprefix(head), field.get("show", "")
        if key in ("address", "address6"):
            found["address"] = str(ip_address(text))
        elif key in ("tag", "types"):
            found[key] = _hex(text)
        elif key != "family":
            found[key] = _number(text)
    return found


def _shown_fields(proto: ElementTree.Element) -> Header:
    found: Header = {}
    for field in proto.iter("field"):
        name, text = field.get("name", "").removeprefix("gue0."), field.get("show", "")
        if name in ("security.cookie", "security.hmac", "surplus"):
            found[name] = _hex(text)
        elif name == "magic":
            found[name] = 1
        elif name in ("group.id", "nat_address_checksum.checksum"):
            found[name.rpartition(".")[0]] = int(text, 0)
        elif name in ("private_flags.start", "private_flags.offset"):
            found[name.replace(".", ".remote_checksum.")] = int(text, 0)
        elif "." in name and not name.startswith("_ws.") and not name.endswith((".reserved", ".value", ".flags")) and f"gue0.{name}" not in EXPERTS:
            found[name] = _number(text)
    return found
