# SPDX-License-Identifier: Apache-2.0
"""The contract against the running kernel: its policy, its refusals, its answers; no topology.

Spec, header and the tool's tables are held equal by tests/pure/test_spec.py. Here the spec is compared with what the
loaded module tells of itself (CTRL_CMD_GETPOLICY), and with what it really takes: every attribute number is tried
with every operation, since a policy that is told need not be the one that is applied.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import policy
import pytest
from net import Host, Net
from policy import Policy, Rule
from rawnl import (
    NLM_F_DUMP,
    NLM_F_MULTI,
    RawNetlink,
    Refused,
    attr,
    key,
    n,
    nest,
    split,
    u8,
    u16,
    u32,
)

from gutctl._nl import family

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pure"))

import spec_yaml

SPEC = spec_yaml.load()
SETS = spec_yaml.attribute_sets(SPEC)
REQUESTS = spec_yaml.requests(SPEC)
COMMANDS = spec_yaml.commands(SPEC)
SET_OF = {operation["name"]: operation["attribute-set"] for operation in SPEC["operations"]["list"] if "do" in operation}
FLAGS = spec_yaml.definitions(SPEC)
ANSWERED = {"stats", "cookie-len", "cookie-hash"}
"""Inside of nests that can be asked for: told, and not taken."""

U_MAX = {"u8": 0xFF, "u16": 0xFFFF, "u32": 0xFFFFFFFF, "u64": 2**64 - 1}


@pytest.fixture(scope="module")
def host(gutless: None, module_net: Net) -> Host:
    return module_net.host("contract")


@pytest.fixture(scope="module")
def kernel(host: Host) -> Iterator[RawNetlink]:
    door = host.call(RawNetlink)
    yield door
    door.close()


@pytest.fixture(scope="module")
def told(kernel: RawNetlink) -> Policy:
    return policy.ask(kernel)


def expected(name: str, attribute: str) -> Rule:
    """The rule that the spec asks for. A value in network order cannot be told from one in host order."""
    declared = SETS[name][attribute]
    checks = declared.checks
    kind = declared.type.replace("be", "u")
    if kind == "nest":
        return Rule("nest")
    if "flags-mask" in checks:
        return Rule(kind, mask=sum(FLAGS[checks["flags-mask"]].values()))
    if kind in ("binary", "string"):
        exact = checks.get("exact-len")
        return Rule(kind, min_length=exact or checks.get("min-len"), max_length=exact or checks["max-len"])
    return Rule(kind, min_value=0, max_value=checks.get("max", U_MAX[kind]))


def without_nest(rule: Rule) -> Rule:
    return Rule(rule.type, rule.min_value, rule.max_value, rule.min_length, rule.max_length, rule.mask)


@pytest.mark.parametrize("command", [name for name, how in REQUESTS if how == "do"])
def test_policy_of_each_operation(told: Policy, command: str) -> None:
    name = SET_OF[command]
    rules = told.of(COMMANDS[command], "do")
    takes = {SETS[name][attribute].number: expected(name, attribute) for attribute in REQUESTS[command, "do"]}
    assert {number: without_nest(rule) for number, rule in rules.items()} == takes


@pytest.mark.parametrize("command", [name for name, how in REQUESTS if how == "dump"])
def test_policy_of_each_dump(told: Policy, command: str) -> None:
    # the kernel has one policy for an operation, whichever way it is asked
    name = SET_OF[command]
    rules = told.of(COMMANDS[command], "dump")
    takes = {SETS[name][attribute].number for attribute in REQUESTS[command, "dump"]}
    assert takes <= set(rules)
    assert rules == told.of(COMMANDS[command], "do")


@pytest.mark.parametrize(
    "attribute",
    ["port source", "port source-del", "port option-rule", "port key", "port gue", "profile key", "profile gue"],
)
def test_policy_inside_a_nest(told: Policy, attribute: str) -> None:
    noun, _, attribute = attribute.partition(" ")
    nested = SETS[noun][attribute].nested or ""
    inside = SETS[nested]
    rule = told.of(COMMANDS[f"{noun}-set"], "do")[SETS[noun][attribute].number]
    assert rule.nested is not None
    assert rule.nested_max == max(a.number for a in inside.values())
    takes = {a.number: expected(nested, name) for name, a in inside.items() if name not in ANSWERED}
    assert told.rules[rule.nested] == takes


def test_there_is_no_operation_beyond_the_spec(told: Policy) -> None:
    assert set(told.operations) <= {COMMANDS[name] for name, _ in REQUESTS}


@pytest.mark.parametrize("command", [name for name, how in REQUESTS if how == "do"])
def test_every_attribute_is_taken_or_refused(kernel: RawNetlink, command: str) -> None:
    """An attribute of the wrong size, alone, changes nothing; the words of the refusal tell whether it is known."""
    name = SET_OF[command]
    known = {attribute.number for attribute in SETS[name].values()}
    before = kernel.state()
    taken = set()
    for number in range(1, max(known) + 3):
        # one octet more than any attribute of the family may have
        with pytest.raises(Refused) as refusal:
            kernel.ask(COMMANDS[command], attr(number, bytes(257)))
        said = refusal.value.sentence
        assert refusal.value.errno in (errno.EINVAL, errno.ERANGE), (number, said)
        # the last is the kernel's answer for an operation without any policy
        foreign = ("Unknown attribute type", "Unsupported attribute", "Attribute failed policy validation")
        # a length over the limit has the last sentence too, and another errno
        if refusal.value.errno == errno.ERANGE or said not in foreign:
            taken.add(number)
    assert taken == {SETS[name][attribute].number for attribute in REQUESTS[command, "do"]}
    assert kernel.state() == before


@pytest.mark.parametrize("command", [0, *(number for name, number in COMMANDS.items() if name.endswith("-ntf")), 99])
def test_what_is_no_request_is_refused(kernel: RawNetlink, command: int) -> None:
    with pytest.raises(Refused) as refusal:
        kernel.ask(command)
    assert refusal.value.errno == errno.EOPNOTSUPP


def names_in(table: str, attributes: list[tuple[int, bytes]]) -> set[str]:
    by_number = {attribute.number: name for name, attribute in SETS[table].items()}
    return {by_number[number] for number, _ in attributes}


def reply_of(command: str, how: str = "do") -> set[str]:
    operation = next(o for o in SPEC["operations"]["list"] if o["name"] == command)
    return set(operation[how]["reply"]["attributes"])


def test_info_is_what_the_spec_says(kernel: RawNetlink) -> None:
    (message,) = kernel.do("INFO_GET")
    assert message.command == COMMANDS["info-get"]
    assert names_in("info", message.attributes) - {"pad"} == reply_of("info-get")
    plain = next(data for number, data in message.attributes if number == SETS["info"]["plain"].number)
    assert names_in("tx", split(plain)) | {"pad"} == set(SETS["tx"])


def fields_of_gue(name: str) -> bytes:
    """All fields that there can be."""
    cookie = attr(n("A_GUE_COOKIE"), bytes(32)) + attr(n("A_GUE_COOKIE_NAME"), b"/etc/cookie\0")
    return nest(name, u32("A_GUE_GROUP", 7), u8("A_GUE_CSUM", 1), cookie)


def test_a_port_is_what_the_spec_says(kernel: RawNetlink, host: Host) -> None:
    """Every attribute of the reply is seen in some port; each is of the size that its type has."""
    host.ip("link add d0 type dummy", "link set d0 up")
    host.ip("addr add 192.0.2.1/24 dev d0", "addr add 2001:db8::1/64 dev d0 nodad")
    device = host.call(socket.if_nametoindex, "d0")
    keys = [key(7001, 4, "192.0.2.1", device), key(7002, 6, "2001:db8::1"), key(7003)]
    source = attr(SETS["port"]["source"].number | 0x8000, attr(1, bytes((192, 0, 2, 0))) + attr(3, b"\x18"))
    kernel.do("PORT_ADD", keys[0], source, fields_of_gue("A_PORT_GUE"))
    rule = attr(SETS["port"]["option-rule"].number | 0x8000, attr(1, b"\x58") + attr(2, b"\2") + attr(3, b"\1") + attr(4, bytes(4)))
    secret = nest("A_PORT_KEY", u16("A_KEY_ID", 7), attr(SETS["key"]["secret"].number, bytes(16)), attr(SETS["key"]["name"].number, b"x\0"))
    kernel.do("PORT_ADD", keys[1], u8("A_PORT_ANY_SOURCE", 1), u8("A_PORT_ZERO_CSUM6", 1), rule, secret)
    kernel.do("PORT_ADD", keys[2], u32("A_PORT_ACCEPT", 1), u8("A_PORT_FOU_PROTOCOL", 4))
    seen: set[str] = set()
    sizes = {"u8": 1, "u16": 2, "be16": 2, "u32": 4, "be32": 4, "u64": 8}
    try:
        for one in keys:
            messages = kernel.do("PORT_GET", one)
            assert len(messages) == 1
            assert not messages[0].flags & NLM_F_MULTI
            seen |= names_in("port", messages[0].attributes)
            for number, data in messages[0].attributes:
                declared = next(a for a in SETS["port"].values() if a.number == number)
                assert len(data) == sizes.get(declared.type, len(data))
                if declared.nested == "rx":
                    assert names_in("rx", split(data)) | {"pad"} == set(SETS["rx"])
                if declared.nested == "key":
                    assert names_in("key", split(data)) == set(SETS["key"]) - {"secret"}
                if declared.nested == "gue":
                    assert names_in("gue", split(data)) == set(SETS["gue"]) - {"cookie", "clear"}
                if declared.nested == "option-rule":
                    assert names_in("option-rule", split(data)) == set(SETS["option-rule"])
                    stats = next(d for n, d in split(data) if n == SETS["option-rule"]["stats"].number)
                    assert names_in("rule-stats", split(stats)) | {"pad"} == set(SETS["rule-stats"])
        assert seen == reply_of("port-get")
        assert kernel.ask(COMMANDS["port-get"], flags=NLM_F_DUMP)
    finally:
        for one in keys:
            kernel.do("PORT_DEL", one)


def test_a_profile_is_what_the_spec_says(kernel: RawNetlink) -> None:
    """No profile has both a key and fields of GUE: two are made."""
    auth = attr(SETS["profile"]["options"].number, b"\x5b\x1a\0\7" + bytes(24))
    key = nest("A_PROFILE_KEY", u16("A_KEY_ID", 7), attr(SETS["key"]["secret"].number, bytes(16)))
    made: set[str] = set()
    told: set[str] = set()
    for number, form, *more in ((7 << 8 | 1, 3, auth, key), (10 << 8 | 1, 2, fields_of_gue("A_PROFILE_GUE"))):
        itself = nest("A_PROFILE_RULE", u32("A_RULE_MARK", 7) + u16("A_RULE_PROFILE", number))
        (new,) = kernel.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", number), u8("A_PROFILE_FORMAT", form), *more, itself)
        given = next(data for n, data in new.attributes if n == SETS["profile"]["number"].number)
        by_number = attr(SETS["profile"]["number"].number, given)
        try:
            made |= names_in("profile", new.attributes)
            (one,) = kernel.do("PROFILE_GET", by_number)
            told |= names_in("profile", one.attributes)
        finally:
            kernel.do("PROFILE_DEL", by_number)
    assert made == reply_of("profile-add")
    assert told == reply_of("profile-get")


def test_a_device_is_what_the_spec_says(kernel: RawNetlink) -> None:
    lo = u32("A_DEVICE_IFINDEX", 1)
    kernel.do("DEVICE_SET", lo, u32("A_DEVICE_ONPATH", 1))
    try:
        (one,) = kernel.do("DEVICE_GET", lo)
        assert one.command == COMMANDS["device-get"]
        assert names_in("device", one.attributes) == reply_of("device-get")
        stats = next(data for number, data in one.attributes if number == SETS["device"]["stats"].number)
        assert names_in("onpath", split(stats)) | {"pad"} == set(SETS["onpath"])
        (dumped,) = kernel.ask(COMMANDS["device-get"], flags=NLM_F_DUMP)
        assert dumped.attributes == one.attributes
    finally:
        kernel.do("DEVICE_SET", lo, u32("A_DEVICE_ONPATH", 0))
    (off,) = kernel.do("DEVICE_GET", lo)
    assert names_in("device", off.attributes) == {"ifindex", "onpath"}


def test_the_tool_speaks_to_that_version(kernel: RawNetlink) -> None:
    text = next(data for n, data in kernel.do("INFO_GET")[0].attributes if n == family.INFO["version"].number)
    assert text.rstrip(b"\0").decode() == Path("/sys/module/gutless/version").read_text().strip()
