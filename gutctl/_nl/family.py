# SPDX-License-Identifier: Apache-2.0
"""The generic netlink family ``gutless`` in tables: names, numbers, types.

This is the tool's third of the contract; the header
``kmod/include/uapi/linux/gutless.h`` and ``gutctl/specs/gutless.yaml`` are the
others, and tests hold the three equal. Names are the spec's. Nothing here
imports a netlink library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "ACCEPT",
    "CMD",
    "CONTROL",
    "CONTROL_FLAGS",
    "CONTROL_GROUP",
    "CSUM",
    "DELIVERED",
    "DEVICE",
    "EVENTS",
    "FAMILY",
    "FEATURE",
    "FORMAT",
    "GUE",
    "GUE_CLEAR",
    "INFO",
    "KEY",
    "NOTIFICATIONS",
    "ONPATH",
    "ONPATH_FLAGS",
    "OPTIONS",
    "OPTION_ACTION",
    "OPTION_NTF",
    "OPTION_RULE",
    "ORIGIN",
    "PORT",
    "PORT_FLAGS",
    "PROFILE",
    "PROFILE_FLAGS",
    "REQUESTS",
    "RULE",
    "RULE_STATS",
    "RX",
    "SETS",
    "SOURCE",
    "TX",
    "VERSION",
    "Attr",
    "AttrSet",
]

FAMILY: Final = "gutless"
VERSION: Final = 1
EVENTS: Final = "events"
OPTIONS: Final = "options"
CONTROL_GROUP: Final = "control"
"""Multicast groups."""


@dataclass(frozen=True, slots=True)
class Attr:
    """One attribute.

    ``type`` is u8, u16, u32, u64 (host order), be16, be32 (network order),
    string, binary, pad or nest.
    """

    name: str
    number: int
    type: str
    nested: AttrSet | None = None
    multi: bool = False
    """May stand in a message more than once."""


@dataclass(frozen=True, slots=True)
class AttrSet:
    """Attributes that share a number space."""

    name: str
    attrs: tuple[Attr, ...]
    _numbers: dict[int, Attr] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {attr.number: attr for attr in self.attrs})

    def __iter__(self) -> Iterator[Attr]:
        return iter(self.attrs)

    def __getitem__(self, name: str) -> Attr:
        for attr in self.attrs:
            if attr.name == name:
                return attr
        raise KeyError(name)

    def number(self, number: int) -> Attr | None:
        """The attribute of that number, None for one that is newer than this table."""
        return self._numbers.get(number)


def _set(name: str, *rows: tuple[str, str] | tuple[str, str, AttrSet]) -> AttrSet:
    """Rows are name, type and, of a nest, what is inside; ``*`` marks a multi-attr.

    Numbers count from 1, since the contract only ever appends.
    """
    attrs = []
    for number, row in enumerate(rows, 1):
        attrs.append(
            Attr(
                name=row[0],
                number=number,
                type=row[1].rstrip("*"),
                nested=row[2] if len(row) == 3 else None,
                multi=row[1].endswith("*"),
            )
        )
    return AttrSet(name, tuple(attrs))


RX: Final = _set(
    "rx",
    ("pad", "pad"),
    ("packets", "u64"),
    ("octets", "u64"),
    ("drop-source", "u64"),
    ("drop-truncated", "u64"),
    ("drop-variant", "u64"),
    ("drop-format", "u64"),
    ("drop-flags", "u64"),
    ("drop-length", "u64"),
    ("drop-control", "u64"),
    ("drop-options", "u64"),
    ("drop-check", "u64"),
    ("drop-protocol-zero", "u64"),
    ("drop-protocol", "u64"),
    ("drop-inner", "u64"),
    ("drop-nesting", "u64"),
    ("drop-no-memory", "u64"),
    ("drop-remcsum", "u64"),
    ("gro-packets", "u64"),
    ("drop-option-missing", "u64"),
    ("drop-option-value", "u64"),
    ("drop-option-refused", "u64"),
    ("drop-auth-missing", "u64"),
    ("drop-auth-key", "u64"),
    ("drop-auth-tag", "u64"),
    ("drop-auth-replay", "u64"),
    ("drop-auth-time", "u64"),
    ("drop-gue-group", "u64"),
    ("drop-gue-cookie", "u64"),
    ("drop-gue-csum", "u64"),
    ("drop-control-limit", "u64"),
    ("echo-requests", "u64"),
    ("echo-replies", "u64"),
    ("reports", "u64"),
    ("reports-sent", "u64"),
    ("reports-limited", "u64"),
)

TX: Final = _set(
    "tx",
    ("pad", "pad"),
    ("packets", "u64"),
    ("octets", "u64"),
    ("drop-no-profile", "u64"),
    ("drop-format", "u64"),
    ("drop-length", "u64"),
    ("drop-recursion", "u64"),
    ("drop-no-memory", "u64"),
    ("gso-packets", "u64"),
    ("icmp-errors", "u64"),
    ("drop-super-packet", "u64"),
)

SOURCE: Final = _set(
    "source",
    ("v4", "be32"),
    ("v6", "binary"),
    ("prefix-len", "u8"),
)

RULE_STATS: Final = _set(
    "rule-stats",
    ("pad", "pad"),
    ("matched", "u64"),
    ("dropped", "u64"),
    ("delivered", "u64"),
)

OPTION_RULE: Final = _set(
    "option-rule",
    ("type", "u8"),
    ("action", "u8"),
    ("deliver", "u8"),
    ("value", "binary"),
    ("stats", "nest", RULE_STATS),
)

KEY: Final = _set(
    "key",
    ("id", "u16"),
    ("secret", "binary"),
    ("name", "string"),
    ("direction", "u8"),
    ("fingerprint", "binary"),
)

INFO: Final = _set(
    "info",
    ("pad", "pad"),
    ("version", "string"),
    ("features", "u64"),
    ("max-ports", "u32"),
    ("max-sources", "u32"),
    ("max-profiles", "u32"),
    ("max-nesting", "u32"),
    ("ports", "u32"),
    ("profiles", "u32"),
    ("unprivileged", "u8"),
    ("encap-bare", "u16"),
    ("encap-header", "u16"),
    ("plain", "nest", TX),
    ("control-rate", "u32"),
    ("control-source-rate", "u32"),
)

GUE: Final = _set(
    "gue",
    ("group", "u32"),
    ("csum", "u8"),
    ("cookie", "binary"),
    ("cookie-len", "u8"),
    ("cookie-hash", "binary"),
    ("cookie-name", "string"),
    ("clear", "u32"),
)

PORT: Final = _set(
    "port",
    ("family", "u8"),
    ("port", "be16"),
    ("local-v4", "be32"),
    ("local-v6", "binary"),
    ("ifindex", "u32"),
    ("accept", "u32"),
    ("fou-protocol", "u8"),
    ("inner", "binary"),
    ("any-source", "u8"),
    ("source", "nest*", SOURCE),
    ("source-del", "nest*", SOURCE),
    ("flags", "u32"),
    ("zero-csum6", "u8"),
    ("origin", "u8"),
    ("stats", "nest", RX),
    ("remcsum-nopartial", "u8"),
    ("option-rule", "nest*", OPTION_RULE),
    ("key", "nest*", KEY),
    ("key-del", "u16*"),
    ("require-auth", "u8"),
    ("gue", "nest", GUE),
    ("control", "u8"),
    ("verify-headers", "u8"),
)

DELIVERED: Final = _set(
    "delivered",
    ("pad", "pad"),
    ("sequence", "u64"),
    ("port", "nest", PORT),
    ("port-id", "u32"),
    ("type", "u8"),
    ("data", "binary"),
    ("source-v4", "be32"),
    ("source-v6", "binary"),
    ("source-port", "be16"),
    ("time", "u64"),
    ("packets", "u32"),
)

RULE: Final = _set(
    "rule",
    ("mark", "u32"),
    ("mask", "u32"),
    ("profile", "u16"),
)

PROFILE: Final = _set(
    "profile",
    ("number", "u16"),
    ("format", "u8"),
    ("csum", "u8"),
    ("sport-min", "u16"),
    ("sport-max", "u16"),
    ("origin", "u8"),
    ("stats", "nest", TX),
    ("options", "binary"),
    ("room", "u8"),
    ("rule", "nest*", RULE),
    ("flags", "u32"),
    ("key", "nest", KEY),
    ("gue", "nest", GUE),
)

CONTROL: Final = _set(
    "control",
    ("family", "u8"),
    ("port", "be16"),
    ("local-v4", "be32"),
    ("local-v6", "binary"),
    ("ifindex", "u32"),
    ("peer-v4", "be32"),
    ("peer-v6", "binary"),
    ("peer-port", "be16"),
    ("peer-ifindex", "u32"),
    ("type", "u8"),
    ("options", "binary"),
    ("body", "binary"),
    ("time", "u64"),
    ("pad", "pad"),
)

ONPATH: Final = _set(
    "onpath",
    ("pad", "pad"),
    ("seen", "u64"),
    ("lowered", "u64"),
    ("left-enough", "u64"),
    ("left-no-check", "u64"),
    ("left-no-option", "u64"),
    ("left-malformed", "u64"),
    ("left-merged", "u64"),
    ("left-no-memory", "u64"),
    ("left-fragment", "u64"),
)

DEVICE: Final = _set(
    "device",
    ("ifindex", "u32"),
    ("onpath", "u32"),
    ("ports", "binary"),
    ("stats", "nest", ONPATH),
)

SETS: Final[Mapping[str, AttrSet]] = {
    s.name: s
    for s in (
        INFO, PORT, KEY, OPTION_RULE, RULE_STATS, DELIVERED, SOURCE, PROFILE, RULE, RX, TX, DEVICE, ONPATH, GUE,
        CONTROL,
    )
}

CMD: Final[Mapping[str, int]] = {
    name: number
    for number, name in enumerate(
        (
            "info-get",
            "port-add",
            "port-set",
            "port-del",
            "port-get",
            "profile-add",
            "profile-set",
            "profile-del",
            "profile-get",
            "port-add-ntf",
            "port-set-ntf",
            "port-del-ntf",
            "profile-add-ntf",
            "profile-set-ntf",
            "profile-del-ntf",
            "option-ntf",
            "device-set",
            "device-get",
            "device-set-ntf",
            "device-del-ntf",
            "echo",
            "control-ntf",
        ),
        1,
    )
}

_KEY: Final = ("family", "port", "local-v4", "local-v6", "ifindex")
_SETTINGS: Final = (
    *("accept", "fou-protocol", "inner", "any-source", "source", "zero-csum6", "origin"),
    *("remcsum-nopartial", "option-rule", "key", "require-auth", "gue", "control", "verify-headers"),
)
_PROFILE: Final = (
    *("number", "format", "csum", "sport-min", "sport-max", "origin"),
    *("options", "room", "rule", "flags", "key", "gue"),
)

REQUESTS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("info-get", "do"): (),
    ("port-add", "do"): _KEY + _SETTINGS,
    ("port-set", "do"): _KEY + _SETTINGS + ("source-del", "flags", "key-del"),
    ("port-del", "do"): _KEY,
    ("port-get", "do"): _KEY,
    ("port-get", "dump"): _KEY,
    ("profile-add", "do"): _PROFILE,
    ("profile-set", "do"): _PROFILE,
    ("profile-del", "do"): ("number",),
    ("profile-get", "do"): ("number",),
    ("profile-get", "dump"): (),
    ("device-set", "do"): ("ifindex", "onpath", "ports"),
    ("device-get", "do"): ("ifindex",),
    ("device-get", "dump"): (),
    ("echo", "do"): (*_KEY, "peer-v4", "peer-v6", "peer-port", "peer-ifindex", "options", "body"),
}
"""What each operation takes, by command and kind of request."""

NOTIFICATIONS: Final[Mapping[int, tuple[str, str]]] = {
    CMD[f"{kind}-{action}-ntf"]: (kind, action)
    for kind, actions in (
        ("port", ("add", "set", "del")),
        ("profile", ("add", "set", "del")),
        ("device", ("set", "del")),
    )
    for action in actions
}
"""Command of an event: the kind of record and what happened to it."""

OPTION_NTF: Final = CMD["option-ntf"]
"""Command of an option that is delivered."""

ACCEPT: Final[Mapping[str, int]] = {"fou": 1, "gue0": 2, "bare": 4, "gutless": 8}
FORMAT: Final[Mapping[str, int]] = {"fou": 1, "gue": 2, "gutless": 3}
CSUM: Final[Mapping[str, int]] = {"full": 1, "zero": 2, "remote": 3, "remote-draft": 4, "neutral": 5}
ORIGIN: Final[Mapping[str, int]] = {"admin": 0, "tunnel": 1}
OPTION_ACTION: Final[Mapping[str, int]] = {"none": 0, "ignore": 1, "require": 2, "drop": 3}
PORT_FLAGS: Final[Mapping[str, int]] = {"replace-sources": 1}
PROFILE_FLAGS: Final[Mapping[str, int]] = {"replace-rules": 1}
GUE_CLEAR: Final[Mapping[str, int]] = {"group": 1, "cookie": 2}
FEATURE: Final[Mapping[str, int]] = {
    "ipv6": 1, "remcsum": 2, "icmp": 4, "options": 8,
    "option-rules": 16, "onpath": 32, "auth": 64, "gue-fields": 128,
    "control": 256, "neutral": 512, "verify-headers": 1024,
}
ONPATH_FLAGS: Final[Mapping[str, int]] = {"min-path-mtu": 1}
CONTROL_FLAGS: Final[Mapping[str, int]] = {"echo": 1, "report": 2}
