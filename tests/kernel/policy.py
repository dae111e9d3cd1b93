# SPDX-License-Identifier: Apache-2.0
"""What the running kernel accepts: its netlink policy, asked for by CTRL_CMD_GETPOLICY.

Numbers of ``linux/genetlink.h`` and ``linux/netlink.h`` (enum netlink_policy_type_attr).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from rawnl import CTRL_FAMILY_ID, GENL_ID_CTRL, NLM_F_DUMP, RawNetlink, attr, split

CTRL_CMD_GETPOLICY = 10
CTRL_POLICY, CTRL_OP_POLICY = 8, 9
POLICY_DO, POLICY_DUMP = 1, 2

TYPES = {2: "u8", 3: "u16", 4: "u32", 5: "u64", 10: "binary", 12: "string", 13: "nest"}
TYPE, MIN_VALUE, MAX_VALUE, MIN_LENGTH, MAX_LENGTH, POLICY_INDEX, POLICY_MAX, MASK = 1, 4, 5, 6, 7, 8, 9, 12


@dataclass(frozen=True)
class Rule:
    """What one attribute may be. Lengths in octets; a nest's attributes are those of policy ``nested``."""

    type: str
    min_value: int | None = None
    max_value: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    mask: int | None = None
    nested: int | None = None
    nested_max: int | None = None


@dataclass
class Policy:
    """By command: the policy of do and of dump; by policy: the rule of each attribute it takes."""

    operations: dict[int, dict[str, int]] = field(default_factory=dict)
    rules: dict[int, dict[int, Rule]] = field(default_factory=dict)

    def of(self, command: int, how: str) -> dict[int, Rule]:
        """Rules of an operation by attribute; none where the kernel tells no policy for it."""
        index = self.operations.get(command, {}).get(how)
        return {} if index is None else self.rules.get(index, {})


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little" if struct.pack("=H", 1)[0] else "big")


def _rule(data: bytes) -> Rule:
    values = {kind: _number(value) for kind, value in split(data)}
    return Rule(
        type=TYPES.get(values[TYPE], f"type {values[TYPE]}"),
        min_value=values.get(MIN_VALUE),
        max_value=values.get(MAX_VALUE),
        min_length=values.get(MIN_LENGTH),
        max_length=values.get(MAX_LENGTH),
        mask=values.get(MASK),
        nested=values.get(POLICY_INDEX),
        nested_max=values.get(POLICY_MAX),
    )


def ask(kernel: RawNetlink) -> Policy:
    """The policy of the family that ``kernel`` has resolved."""
    policy = Policy()
    request = attr(CTRL_FAMILY_ID, struct.pack("=H", kernel.family))
    for message in kernel.ask(CTRL_CMD_GETPOLICY, request, flags=NLM_F_DUMP, family=GENL_ID_CTRL):
        for kind, data in message.attributes:
            if kind == CTRL_OP_POLICY:
                for command, indexes in split(data):
                    found = {k: _number(value) for k, value in split(indexes)}
                    names = {POLICY_DO: "do", POLICY_DUMP: "dump"}
                    policy.operations[command] = {names[k]: value for k, value in found.items()}
            elif kind == CTRL_POLICY:
                for index, rules in split(data):
                    for number, rule in split(rules):
                        policy.rules.setdefault(index, {})[number] = _rule(rule)
    return policy
