# SPDX-License-Identifier: Apache-2.0
"""Netlink messages that the fuzzer makes: all that the specification has, and all that it forbids, in a few thousand."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / "fuzz"), str(TESTS / "kernel")]

from messages import DUMP, Maker, Message, Spec
from rawnl import n, split

COUNT = 6000
SEED = 3
#: The beginning or the end of what is said of a forbidden message, each from one place of messages.py.
FORBIDDEN = (
    *("which does not exist", "does not take", " octets", "octets that are no attribute", "without the flag of a nest"),
    *("as a nest", "with something in it that it cannot have", ", cut", "any-source ", "flags ", "zero-csum6 "),
)


@pytest.fixture(scope="module")
def made() -> list[Message]:
    maker = Maker(Spec(), SEED)
    return [maker.message() for _ in range(COUNT)]


def test_every_operation_is_asked_for(made: list[Message]) -> None:
    """Those of the uapi header up to the notifications, dumps of both kinds of things among them."""
    seen = Counter((message.command, message.flags & DUMP == DUMP) for message in made if not message.forbidden)
    for name in ("INFO_GET", *(f"{kind}_{verb}" for kind in ("PORT", "PROFILE") for verb in ("ADD", "SET", "DEL", "GET"))):
        assert seen[n("CMD_" + name), False] >= 50, name
    assert seen[n("CMD_PORT_GET"), True] >= 50
    assert seen[n("CMD_PROFILE_GET"), True] >= 50


def test_every_attribute_is_sent(made: list[Message]) -> None:
    """Of the specification's requests, in messages with nothing wrong."""
    spec = Spec()
    seen = {
        (message.operation.attribute_set, kind)
        for message in made
        if not message.forbidden
        for kind, _ in split(message.body)
    }
    for operation in spec.operations:
        for name in operation.takes:
            one = spec.sets[operation.attribute_set][name]
            assert (operation.attribute_set, one.number) in seen, f"{operation.name}: {name}"


@pytest.mark.parametrize("words", FORBIDDEN)
def test_everything_forbidden_is_tried(made: list[Message], words: str) -> None:
    assert any(words in message.forbidden for message in made)


def test_the_same_seed_makes_the_same(made: list[Message]) -> None:
    maker = Maker(Spec(), SEED)
    assert [maker.message() for _ in range(COUNT)] == made
    assert 0.15 < sum(bool(message.forbidden) for message in made) / COUNT < 0.4
