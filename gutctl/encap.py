# SPDX-License-Identifier: Apache-2.0
"""The formats in Python: octets to frozen dataclasses and back, checksums, MTU arithmetic.

The public door. Pure: no socket, no kernel, standard library alone. ``decode(encode(h, p))`` gives
``h`` and ``p`` back for all that can be made, and ``encode`` gives the octets back of all that
``decode`` takes. Whatever the octets, nothing but :class:`EncapError` is raised.

>>> packet = encode(Gutless(4, pad([Group(7).option()])), bytes.fromhex("4500..."))  # doctest: +SKIP
>>> decode(packet).header.options[0].name  # doctest: +SKIP
'group'

The formats are specified in docs/protocol.md, whose sections the docstrings name.
"""

from __future__ import annotations

from dataclasses import dataclass

from gutctl._wire.answer import UNDERSTOOD_TYPES, echo_answer, report_about
from gutctl._wire.control import (
    CONTROL_NAMES,
    ECHO_REPLY,
    ECHO_REQUEST,
    HELLO,
    REPORT,
    Echo,
    Report,
    decode_control,
)
from gutctl._wire.error import EncapError, Reason, need_int
from gutctl._wire.gue import (
    AlternateChecksum,
    Fragment,
    Gue,
    HeaderChecksum,
    Hmac,
    Private,
    RemoteChecksum,
    Transform,
    decode_gue,
    encode_gue,
)
from gutctl._wire.guefields import Cookie, GueFields, gue_checksum_state, gue_pseudo_sum, seal_gue
from gutctl._wire.gutless import Gutless, decode_gutless, encode_gutless
from gutctl._wire.mtu import (
    UDP_LENGTH_MAX,
    base_octets,
    max_inner,
    overhead,
    path_mtu,
    tunnel_mtu,
)
from gutctl._wire.onpath import OnPathVerdict, lower_min_path_mtu, min_path_mtu_verdict
from gutctl._wire.options import (
    Action,
    Auth,
    Group,
    MinPathMtu,
    ObservedAddress,
    Option,
    RemoteOffload,
    Session,
    Timing,
    Understood,
    decode_options,
    option_value,
    pad,
)
from gutctl._wire.remote import leave_checksum, remote_encode, remote_finish, remote_fits, remote_of
from gutctl._wire.rule import ReceiveRule, RuleAction, RuleStats
from gutctl._wire.sums import (
    check_state,
    checksum,
    compute_check,
    ones_add,
    ones_sum,
    pseudo_sum,
    repair_check,
    seal,
    transport_checksum,
    transport_checksum_ok,
    udp_checksum,
    udp_checksum_state,
)
from gutctl._wire.verdict import Accepted, Control, Dropped, payload_format, receive_verdict

__all__ = [
    "CONTROL_NAMES",
    "ECHO_REPLY",
    "ECHO_REQUEST",
    "HELLO",
    "REPORT",
    "UDP_LENGTH_MAX",
    "UNDERSTOOD_TYPES",
    "Accepted",
    "Action",
    "AlternateChecksum",
    "Auth",
    "Bare",
    "Control",
    "Cookie",
    "Decoded",
    "Dropped",
    "Echo",
    "EncapError",
    "Fou",
    "Fragment",
    "Group",
    "Gue",
    "GueFields",
    "Gutless",
    "Header",
    "HeaderChecksum",
    "Hmac",
    "MinPathMtu",
    "ObservedAddress",
    "OnPathVerdict",
    "Option",
    "Private",
    "Reason",
    "ReceiveRule",
    "RemoteChecksum",
    "RemoteOffload",
    "Report",
    "RuleAction",
    "RuleStats",
    "Session",
    "Timing",
    "Transform",
    "Understood",
    "base_octets",
    "check_state",
    "checksum",
    "compute_check",
    "decode",
    "decode_control",
    "decode_options",
    "echo_answer",
    "encode",
    "gue_checksum_state",
    "gue_pseudo_sum",
    "leave_checksum",
    "lower_min_path_mtu",
    "max_inner",
    "min_path_mtu_verdict",
    "ones_add",
    "ones_sum",
    "option_value",
    "overhead",
    "pad",
    "path_mtu",
    "payload_format",
    "pseudo_sum",
    "receive_verdict",
    "remote_encode",
    "remote_finish",
    "remote_fits",
    "remote_of",
    "repair_check",
    "report_about",
    "seal",
    "seal_gue",
    "transport_checksum",
    "transport_checksum_ok",
    "tunnel_mtu",
    "udp_checksum",
    "udp_checksum_state",
]


@dataclass(frozen=True, slots=True)
class Fou:
    """Foo over UDP: no header at all; the port is declared to carry one IP protocol."""

    protocol: int

    def __post_init__(self) -> None:
        need_int("the FOU port's protocol", self.protocol, 1, 0xFF)


@dataclass(frozen=True, slots=True)
class Bare:
    """A bare IP packet behind UDP: GUE variant 1, and GUT-less's own form without a header."""

    version: int
    """4 or 6: the first four bits of the payload."""

    def __post_init__(self) -> None:
        if self.version not in (4, 6):
            raise EncapError(f"a bare packet of IP version {self.version!r}", hint="4 or 6")


Header = Fou | Bare | Gue | Gutless


@dataclass(frozen=True, slots=True)
class Decoded:
    """A UDP payload taken apart."""

    header: Header
    protocol: int | None
    """IP protocol of ``payload``; None: it is a control message's body."""
    payload: bytes
    consumed: int
    """Octets of header ahead of ``payload``: 0 for FOU and bare."""


def encode(header: Header, payload: bytes = b"") -> bytes:
    """A UDP payload. Raises EncapError where a bare payload is not of the version said.

    Check goes out as it stands in the header: see :func:`seal`.
    """
    match header:
        case Gue():
            return encode_gue(header) + payload
        case Gutless():
            return encode_gutless(header) + payload
        case Bare(version):
            if not payload or payload[0] >> 4 != version:
                raise EncapError(f"the payload is no IPv{version} packet", 0, None, "inner")
            return bytes(payload)
        case Fou():
            return bytes(payload)


def decode(payload: bytes | bytearray | memoryview, *, fou: int | None = None) -> Decoded:
    """Take a UDP payload apart by its first two bits, or as FOU with the protocol given.

    The inner packet itself is not looked into; :func:`receive_verdict` tells what the kernel says to
    it. Raises EncapError: ``truncated``, ``variant``, ``flags``, ``length``, ``options`` or
    ``protocol-zero`` (docs/protocol.md, section 9).
    """
    data = bytes(payload)
    if fou is not None:
        return Decoded(Fou(fou), fou, data, 0)
    if not data:
        raise EncapError("the UDP payload is empty", 0, None, "truncated")
    match payload_format(data[0]):
        case "gue0":
            gue, size = decode_gue(data)
            return Decoded(gue, None if gue.control else gue.protocol, data[size:], size)
        case "gutless":
            own, size = decode_gutless(data)
            return Decoded(own, None if own.control else own.protocol, data[size:], size)
        case "bare":
            version = data[0] >> 4
            return Decoded(Bare(version), 4 if version == 4 else 41, data, 0)
        case _:
            raise EncapError(
                f"no format begins with 0x{data[0]:02x}",
                0,
                "the first bits are 00, 0100, 0110 or 10; a FOU port's protocol has to be told",
                "variant",
            )
