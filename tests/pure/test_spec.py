# SPDX-License-Identifier: Apache-2.0
"""The contract in its three forms is one: the uapi header, the YNL spec, the tool's tables.

The fourth, the policy of a running kernel, is compared in tests/kernel/test_contract.py.
"""

from __future__ import annotations

import pytest
import spec_yaml

from gutctl._nl import family, links
from gutctl.model import Accept, Answer, Csum, Format, Origin

SPEC = spec_yaml.load()
SETS = spec_yaml.attribute_sets(SPEC)
ENUMS = spec_yaml.header_enums()


def c_name(*parts: str) -> str:
    return "_".join(("GUTLESS", *parts)).upper().replace("-", "_")


def enum_of(attribute_set: str) -> str:
    return f"gutless_{attribute_set.replace('-', '_')}_attr"


def test_the_header_was_read() -> None:
    assert len(ENUMS) >= 13
    assert ENUMS["gutless_accept"]["GUTLESS_ACCEPT_GUTLESS"] == 8
    assert ENUMS["gutless_cmd"]["GUTLESS_CMD_UNSPEC"] == 0


@pytest.mark.parametrize("name", SETS)
def test_attributes_of_spec_and_header(name: str) -> None:
    header = {member: n for member, n in ENUMS[enum_of(name)].items() if not member.endswith("_UNSPEC")}
    spec = SPEC["attribute-sets"][list(SETS).index(name)]
    prefix = spec["name-prefix"]
    assert {(prefix + a).upper().replace("-", "_"): attr.number for a, attr in SETS[name].items()} == header


@pytest.mark.parametrize("name", SETS)
def test_attributes_of_spec_and_tables(name: str) -> None:
    ours = {
        attr.name: (attr.number, attr.type, attr.nested.name if attr.nested else None, attr.multi)
        for attr in family.SETS[name]
    }
    assert ours == {a: (attr.number, attr.type, attr.nested, attr.multi) for a, attr in SETS[name].items()}


def test_there_is_no_other_set() -> None:
    assert set(family.SETS) == set(SETS)
    assert {enum_of(name) for name in SETS} == {name for name in ENUMS if name.endswith("_attr")}


def test_commands() -> None:
    commands = spec_yaml.commands(SPEC)
    header = {member: n for member, n in ENUMS["gutless_cmd"].items() if not member.endswith("_UNSPEC")}
    assert family.CMD == commands
    assert {c_name("cmd", name): number for name, number in commands.items()} == header


def test_requests() -> None:
    spec = {key: frozenset(names) for key, names in spec_yaml.requests(SPEC).items()}
    assert {key: frozenset(names) for key, names in family.REQUESTS.items()} == spec


def test_notifications() -> None:
    notify = {
        family.CMD[operation["name"]]: operation["notify"].removesuffix("-get")
        for operation in SPEC["operations"]["list"]
        if "notify" in operation
    }
    assert {number: kind for number, (kind, _) in family.NOTIFICATIONS.items()} == notify
    assert {action for _, action in family.NOTIFICATIONS.values()} == {"add", "set", "del"}


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("accept", family.ACCEPT),
        ("format", family.FORMAT),
        ("csum", family.CSUM),
        ("origin", family.ORIGIN),
        ("port-flags", family.PORT_FLAGS),
        ("option-action", family.OPTION_ACTION),
        ("feature", family.FEATURE),
        ("onpath", family.ONPATH_FLAGS),
        ("control", family.CONTROL_FLAGS),
    ],
)
def test_definitions(name: str, ours: dict[str, int]) -> None:
    spec = spec_yaml.definitions(SPEC)[name]
    assert ours == spec
    # the header abbreviates one prefix: GUTLESS_PORT_F_
    prefix = {"port-flags": "port_f"}.get(name, name)
    header = ENUMS["gutless_" + name.replace("-", "_")]
    assert {c_name(prefix, entry): value for entry, value in spec.items()} == header


@pytest.mark.parametrize(
    ("words", "table"),
    [(Accept, family.ACCEPT), (Format, family.FORMAT), (Csum, family.CSUM), (Origin, family.ORIGIN)]
    + [(Answer, family.CONTROL_FLAGS)],
)
def test_the_records_have_a_word_for_each(words: type[Accept], table: dict[str, int]) -> None:
    assert {word.value for word in words} == set(table)


def test_names_and_versions() -> None:
    defines = spec_yaml.header_defines()
    assert defines["GUTLESS_GENL_NAME"].strip('"') == SPEC["name"] == family.FAMILY
    assert int(defines["GUTLESS_GENL_VERSION"]) == family.VERSION
    groups = [group["name"] for group in SPEC["mcast-groups"]["list"]]
    names = [defines[f"GUTLESS_MCGRP_{name.upper()}"].strip('"') for name in groups]
    assert groups == names == [family.EVENTS, family.OPTIONS, family.CONTROL_GROUP]


def test_link_kinds_that_can_carry_it() -> None:
    assert set(links.KINDS) == {"sit", "ipip", "ip6tnl", "gre", "gretap", "ip6gre", "ip6gretap"}
