# SPDX-License-Identifier: Apache-2.0
"""Receive rules: what a port does about a type of option (docs/extensions.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum, unique

from gutctl._wire.error import EncapError, Reason, need_int, need_octets
from gutctl._wire.options import REMOTE_CHECKSUM, SINGLETON_OCTETS
from gutctl._wire.optiontype import AREA_MAX, PAD1, PADN, Option

__all__ = ["ReceiveRule", "RuleAction", "RuleStats", "judge_options"]


@unique
class RuleAction(StrEnum):
    """What is done with a packet that has an option of the type, and with one that has not."""

    IGNORE = "ignore"
    """It passes, with the option or without, whatever the type's action bits say."""
    REQUIRE = "require"
    """It is dropped without the option."""
    DROP = "drop"
    """It is dropped with the option."""


@dataclass(frozen=True, slots=True)
class RuleStats:
    """Counters of one rule since it was made; a merged packet counts as many as went into it."""

    matched: int = 0
    """Options of the type in packets that passed."""
    dropped: int = 0
    """Packets that this rule dropped."""
    delivered: int = 0
    """Options sent to who listened, whether there was room for them or not."""


@dataclass(frozen=True, slots=True)
class ReceiveRule:
    """What a port does about one type of option.

    Raises EncapError for what no port takes: padding, remote checksum (which is acted on), a value without ``require``
    or of a length that the type has not, delivery of what is dropped.
    """

    type: int
    """The whole octet of the option's type."""
    action: RuleAction = RuleAction.IGNORE
    deliver: bool = False
    """Options of packets that pass are sent to who listens (:func:`gutctl.ext_api.watch`)."""
    value: bytes | None = None
    """The data that each option of the type must have, with ``require``; None: any."""
    stats: RuleStats = field(default_factory=RuleStats, compare=False)

    def __post_init__(self) -> None:
        need_int("the option type", self.type, 0, 0xFF)
        if self.type in (PAD1, PADN):
            raise EncapError("there are no rules for padding")
        if self.type == REMOTE_CHECKSUM:
            raise EncapError("there are no rules for remote checksum", hint="a port that accepts GUT-less always acts on it")
        if self.deliver and self.action is RuleAction.DROP:
            raise EncapError("what is dropped is not delivered", hint="deliver goes with ignore and with require")
        if self.value is None:
            return
        if self.action is not RuleAction.REQUIRE:
            raise EncapError(f"{self.action} with a value", hint="only require has one")
        need_octets("the required value", self.value)
        if len(self.value) > AREA_MAX - 2:
            raise EncapError(f"a value of {len(self.value)} octets", hint=f"a header has room for {AREA_MAX - 2}")
        if len(self.value) != SINGLETON_OCTETS.get(self.type, len(self.value)):
            raise EncapError(
                f"a value of {len(self.value)} octets for option {Option(self.type).name}",
                hint=f"it has {SINGLETON_OCTETS[self.type]}",
            )


def judge_options(options: Iterable[Option], rules: Iterable[ReceiveRule]) -> Reason | None:
    """Why the rules drop a packet with these options, None where they let it pass."""
    by_type = {rule.type: rule for rule in rules}
    seen = set()
    for option in options:
        rule = by_type.get(option.type)
        if rule is None:
            continue
        if rule.action is RuleAction.DROP:
            return "option-refused"
        if rule.value is not None and option.data != rule.value:
            return "option-value"
        seen.add(option.type)
    missing = [rule for rule in by_type.values() if rule.action is RuleAction.REQUIRE and rule.type not in seen]
    return "option-missing" if missing else None
