# SPDX-License-Identifier: Apache-2.0
"""Receive rules as netlink attributes, packets with options, and what a port says about both."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import rawnl
from inject import Case, Target, inner
from rawnl import RawNetlink

from gutctl.encap import Dropped, Gutless, Option, ReceiveRule, RuleAction, RuleStats, encode, pad, receive_verdict

ACTIONS = {None: 0, RuleAction.IGNORE: 1, RuleAction.REQUIRE: 2, RuleAction.DROP: 3}
STATS = ("MATCHED", "DROPPED", "DELIVERED")


def asked(number: int, action: RuleAction | int | None, *, deliver: int | None = None, value: bytes | None = None) -> bytes:
    """A rule as an attribute, with no check of it; action None: no rule any more."""
    which = action if isinstance(action, int) else ACTIONS[action]
    inside = rawnl.u8("A_OPTION_RULE_TYPE", number) + rawnl.u8("A_OPTION_RULE_ACTION", which)
    if deliver is not None:
        inside += rawnl.u8("A_OPTION_RULE_DELIVER", deliver)
    if value is not None:
        inside += rawnl.attr(rawnl.n("A_OPTION_RULE_VALUE"), value)
    return rawnl.nest("A_PORT_OPTION_RULE", inside)


def attribute(rule: ReceiveRule) -> bytes:
    """A rule as the attribute that asks for it."""
    return asked(rule.type, rule.action, deliver=int(rule.deliver), value=rule.value)


def rules_of(kernel: RawNetlink, key: bytes) -> dict[int, ReceiveRule]:
    """The rules of a port with their counters, by type; taken apart without the tool's own decoder."""
    found = {}
    by_number = {number: action for action, number in ACTIONS.items()}
    for message in kernel.dump("PORT_GET", key):
        for kind, data in message.attributes:
            if kind != rawnl.n("A_PORT_OPTION_RULE"):
                continue
            inside = dict(rawnl.split(data))
            counted = dict(rawnl.split(inside[rawnl.n("A_OPTION_RULE_STATS")]))
            stats = RuleStats(*(struct.unpack("=Q", counted[rawnl.n(f"A_RULE_STATS_{name}")])[0] for name in STATS))
            number = inside[rawnl.n("A_OPTION_RULE_TYPE")][0]
            assert number not in found, f"two rules for 0x{number:02x}"
            action = by_number[inside[rawnl.n("A_OPTION_RULE_ACTION")][0]]
            assert action is not None
            deliver = bool(inside[rawnl.n("A_OPTION_RULE_DELIVER")][0])
            found[number] = ReceiveRule(number, action, deliver, inside.get(rawnl.n("A_OPTION_RULE_VALUE")), stats)
    return found


def with_options(*options: Option, version: int = 4, data: bytes = b"payload") -> bytes:
    """A GUT-less header with these options, padded, around a packet that reaches the sink."""
    return encode(Gutless({4: 4, 6: 41}[version], pad(options)), inner(version, data))


def raw(area: bytes, version: int = 4) -> bytes:
    """The same around any octets where the options are; a whole number of words."""
    assert len(area) % 4 == 0
    assert len(area) <= 124
    return bytes((0x80 | len(area) // 4, {4: 4, 6: 41}[version], 0, 0)) + area + inner(version, b"payload")


def expect(payloads: Iterable[bytes], rules: Iterable[ReceiveRule]) -> list[Case]:
    """The payloads, each with the verdict of gutctl.encap on a port with the rules."""
    cases: list[Case] = []
    for payload in payloads:
        said = receive_verdict(payload, rules=tuple(rules))
        cases.append((payload, said.reason if isinstance(said, Dropped) else ""))
    return cases


def good_header(rules: Iterable[ReceiveRule], fill: bytes = b"\x07\x07\x07\x07") -> bytes:
    """A header that the rules let pass: it has what they require."""
    needed = [Option(r.type, fill if r.value is None else r.value) for r in rules if r.action is RuleAction.REQUIRE]
    return encode(Gutless(4, pad(needed)))


__all__ = ["Target", "asked", "attribute", "expect", "good_header", "raw", "rules_of", "with_options"]
