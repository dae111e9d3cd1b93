# SPDX-License-Identifier: Apache-2.0
"""Receive rules: as values, as people write them, on the command line; verdicts by hand; delivered options as text and records."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address

import pytest
from cli_runner import must
from fake_kernel import ROOT, Machine
from hypothesis import given
from netlink_strategies import rules

from gutctl.delivered import DeliveredOption, LostOptions
from gutctl.encap import Accepted, Dropped, EncapError, Gue, Gutless, Option, encode, pad, receive_verdict
from gutctl.errors import NotFoundError, UsageError
from gutctl.ext_api import ReceiveRule, RuleAction, RuleStats, format_rule, parse_rule
from gutctl.model import Accept, Port, PortKey

IGNORE, REQUIRE, DROP = RuleAction.IGNORE, RuleAction.REQUIRE, RuleAction.DROP
IP4 = b"\x45" + bytes(19)
SEVEN = bytes((0, 0, 0, 7))


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    must(made, "port add 6080 --from 10.0.0.0/8")
    return made


def held(machine: Machine) -> set[ReceiveRule]:
    (port,) = machine.spaces[ROOT].ports.values()
    return set(port.rules)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("group=require=7", ReceiveRule(0x58, REQUIRE, value=SEVEN)),
        ("0x58=require=00000007", ReceiveRule(0x58, REQUIRE, value=SEVEN)),
        ("timing=deliver", ReceiveRule(0x1C, deliver=True)),
        ("0x3e=require+deliver=00d703", ReceiveRule(0x3E, REQUIRE, True, b"\0\xd7\3")),
        ("62=ignore", ReceiveRule(0x3E)),
        ("0x3e=require=", ReceiveRule(0x3E, REQUIRE, value=b"")),
        ("0x3e=require", ReceiveRule(0x3E, REQUIRE)),
        ("session=require=initiator=1,target=2", ReceiveRule(0x5A, REQUIRE, value=bytes((0, 0, 0, 1, 0, 0, 0, 2)))),
        ("auth=drop", ReceiveRule(0x5B, DROP)),
    ],
)
def test_written(text: str, rule: ReceiveRule) -> None:
    assert parse_rule(text) == rule
    assert parse_rule(format_rule(rule)) == rule


@given(rules())
def test_every_rule_can_be_written(rule: ReceiveRule) -> None:
    assert parse_rule(format_rule(rule)) == rule


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("group", UsageError, "no action"),
        ("group=demand", UsageError, "no action"),
        ("group=drop=7", UsageError, "drop with a value"),
        ("group=require=x", UsageError, "x"),
        ("0x58=require=0007", UsageError, "2 octets"),
        ("0x59=ignore", UsageError, "remote checksum"),
        ("0x01=ignore", UsageError, "0x02 to 0xff"),
        ("0x3e=require=zz", UsageError, "no hex"),
        ("hue=ignore", NotFoundError, "not known"),
    ],
)
def test_badly_written(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parse_rule(text)


@pytest.mark.parametrize(
    "rule",
    [
        lambda: ReceiveRule(0),
        lambda: ReceiveRule(1, REQUIRE),
        lambda: ReceiveRule(0x59),
        lambda: ReceiveRule(256),
        lambda: ReceiveRule(0x3E, DROP, deliver=True),
        lambda: ReceiveRule(0x3E, IGNORE, value=b""),
        lambda: ReceiveRule(0x3E, REQUIRE, value=bytes(123)),
        lambda: ReceiveRule(0x5B, REQUIRE, value=bytes(24)),
    ],
)
def test_rules_that_no_port_takes(rule: object) -> None:
    with pytest.raises(EncapError):
        rule()  # type: ignore[operator]


def gutless(*options: Option) -> bytes:
    return encode(Gutless(4, pad(options)), IP4)


GROUP7, GROUP8 = Option(0x58, SEVEN), Option(0x58, bytes((0, 0, 0, 8)))


@pytest.mark.parametrize(
    ("rule", "payload", "verdict"),
    [
        (ReceiveRule(0x58), gutless(GROUP7), Accepted(4, 12)),
        (ReceiveRule(0x58, deliver=True), gutless(GROUP7), Accepted(4, 12, (GROUP7,))),
        (ReceiveRule(0x58, deliver=True), gutless(), Accepted(4, 4)),
        (ReceiveRule(0x1E), gutless(GROUP7), Dropped("options")),
        (ReceiveRule(0x58, REQUIRE), gutless(GROUP8), Accepted(4, 12)),
        (ReceiveRule(0x58, REQUIRE), gutless(), Dropped("option-missing")),
        (ReceiveRule(0x58, REQUIRE), IP4, Dropped("option-missing")),
        (ReceiveRule(0x58, REQUIRE), encode(Gue(4), IP4), Dropped("option-missing")),
        (ReceiveRule(0x58, REQUIRE, value=SEVEN), gutless(GROUP7), Accepted(4, 12)),
        (ReceiveRule(0x58, REQUIRE, value=SEVEN), gutless(GROUP8), Dropped("option-value")),
        (ReceiveRule(0x58, REQUIRE, True, SEVEN), gutless(GROUP7), Accepted(4, 12, (GROUP7,))),
        (ReceiveRule(0x1E, DROP), gutless(Option(0x1E)), Dropped("option-refused")),
        (ReceiveRule(0x1E, DROP), gutless(), Accepted(4, 4)),
        # every one of them has to have the value
        (ReceiveRule(0x1E, REQUIRE, value=b"a"), gutless(Option(0x1E, b"a"), Option(0x1E, b"b")), Dropped("option-value")),
        # what is wrong with the header comes first, what is wrong behind it last
        (ReceiveRule(0x58, REQUIRE), b"\x81\x04\0\0\x58\x01\0\0" + IP4, Dropped("options")),
        (ReceiveRule(0x58, REQUIRE), b"\x80\x00\0\0" + IP4, Dropped("protocol-zero")),
        (ReceiveRule(0x58, REQUIRE), b"\x80\x11\0\0" + IP4, Dropped("option-missing")),
    ],
)
def test_verdicts_by_hand(rule: ReceiveRule, payload: bytes, verdict: Accepted | Dropped) -> None:
    assert receive_verdict(payload, rules=[rule]) == verdict


# ---- the command line


def test_a_port_with_rules(machine: Machine) -> None:
    line = "port add 7000 --any-source --rule group=require=7 --rule timing=deliver"
    assert must(machine, line).out.splitlines()[1:] == ["  rule timing=deliver", "  rule group=require=7"]
    assert must(machine, line).out == "port 7000/udp: unchanged\n"
    conflict = must(machine, "port add 7000 --any-source --rule group=require=8", 3)
    assert "rules timing=deliver group=require=7 (asked: group=require=8)" in conflict.err
    must(machine, conflict.err.partition("hint: gutctl ")[2])
    assert must(machine, "port add 7000 --any-source --rule group=require=8").out == "port 7000/udp: unchanged\n"
    shown = must(machine, "port show 7000 --json").record["port"]["rules"]
    stats = {"matched": 0, "dropped": 0, "delivered": 0}
    assert shown == [
        {"type": 88, "name": "group", "action": "require", "deliver": False, "value": "00000008", "rule": "group=require=8", "stats": stats}
    ]


def test_rules_are_added_replaced_and_taken_away(machine: Machine) -> None:
    assert "rule group=require=7" in must(machine, "ext receive add 6080 group require=7").out
    assert must(machine, "ext receive add 6080 group require=7").out == "port 6080/udp: unchanged\n"
    must(machine, "ext receive add 6080 0x3e require+deliver=00d703")
    pending = must(machine, "ext receive add 6080 group require=8 --check --diff", 8)
    assert pending.out.splitlines()[0] == (
        "~ port 6080/udp  rules 0x3e=require+deliver=00d703 group=require=7 -> 0x3e=require+deliver=00d703 group=require=8"
    )
    assert held(machine) == {ReceiveRule(0x58, REQUIRE, value=SEVEN), ReceiveRule(0x3E, REQUIRE, True, b"\0\xd7\3")}
    must(machine, "port set 6080 --rule group=ignore --no-rule 0x3e")
    assert held(machine) == {ReceiveRule(0x58)}
    must(machine, "ext receive del 6080 group")
    assert held(machine) == set()
    assert must(machine, "ext receive del 6080 group").out == "port 6080/udp: unchanged\n"
    must(machine, "ext receive del 6080 group --must-exist", 5)


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("ext receive add 6080 group demand", 2, "no action"),
        ("ext receive add 6080 hue ignore", 5, "not known"),
        ("ext receive add 7777 group ignore", 5, "there is no port 7777/udp"),
        ("ext receive add 6080 group ignore --module fou", 2, "has no rules for options"),
        ("ext receive add 6081 group ignore", 2, "only GUT-less has options"),
        ("port set 6080 --rule group=ignore --rule 0x58=drop", 2, "two for option 0x58"),
        ("port set 6080 --rule group=ignore --no-rule group", 2, "with it, or without"),
        ("port add 6082 --any-source --accept fou:4 --rule group=ignore", 2, "only GUT-less has options"),
        ("port add 6082 --any-source --module fou --rule group=ignore", 2, "only GUT-less has options"),
    ],
)
def test_refused_and_nothing_changed(machine: Machine, line: str, status: int, words: str) -> None:
    must(machine, "port add 6081 --any-source --accept gue0")
    before = machine.snapshot()
    assert words in must(machine, line, status).err
    assert machine.snapshot() == before


def test_an_old_module_has_no_rules(machine: Machine) -> None:
    machine.features -= {"option-rules"}
    assert "load a newer one" in must(machine, "ext receive add 6080 group ignore", 7).err


def test_a_rule_keeps_the_format_it_needs(machine: Machine) -> None:
    must(machine, "ext receive add 6080 group ignore")
    assert "only GUT-less has options" in must(machine, "port set 6080 --accept gue0", 2).err


def test_tunnels_leave_rules_alone(machine: Machine) -> None:
    must(machine, "ext receive add 6080 group require=7")
    must(machine, "tunnel add west --remote 198.51.100.7")
    must(machine, "tunnel del west")
    assert held(machine) == {ReceiveRule(0x58, REQUIRE, value=SEVEN)}


def test_the_list_of_rules(machine: Machine) -> None:
    must(machine, "port add 7000 -6 --any-source --rule 0x3e=deliver")
    must(machine, "ext receive add 6080 group require=7")
    assert must(machine, "ext receive list").out.splitlines() == [
        "PORT       TYPE  RULE                   MATCHED  DROPPED  DELIVERED",
        "6080/udp   0x58  group=require=7        0        0        0",
        "7000/udp6  0x3e  experiment-3e=deliver  0        0        0",
    ]
    records = must(machine, "ext receive list --json").record["rules"]
    assert [(one["family"], one["port"], one["rule"]) for one in records] == [(4, 6080, "group=require=7"), (6, 7000, "experiment-3e=deliver")]


AT = 1_777_863_721_000_000_000


def delivered(**more: object) -> DeliveredOption:
    given = {
        "sequence": 1, "port": PortKey(4, 6080), "port_id": 1, "type": 0x1C, "data": bytes(3) + b"\7" + bytes(8),
        "source": IPv4Address("198.51.100.7"), "source_port": 50000, "time_ns": AT, "packets": 1, **more,
    }  # fmt: skip
    return DeliveredOption(**given)  # type: ignore[arg-type]


def test_watched(machine: Machine) -> None:
    must(machine, "ext receive add 6080 timing deliver")
    must(machine, "tunnel add west --remote 198.51.100.7")
    machine.delivered = [
        delivered(),
        LostOptions(41),
        delivered(type=0x77, data=b"\1\2", source=IPv6Address("2001:db8::7"), port=PortKey(6, 6080), packets=3),
    ]
    result = must(machine, "ext watch -v")
    assert result.err == "gutctl: listening\n"
    assert result.out.splitlines() == [
        "2026-05-04T03:02:01+00:00 port 6080 from 198.51.100.7:50000 by west: timing=7",
        "41 options were lost: they came faster than they were read",
        "2026-05-04T03:02:01+00:00 port 6080 from [2001:db8::7]:50000: 0x77=0102  (3 packets)",
    ]
    records = [json.loads(line) for line in must(machine, "ext watch --json").out.splitlines()]
    assert [record.get("lost") for record in records] == [None, 41, None]
    first, _, last = records
    assert (first["tunnel"], first["peer"], first["peer_port"], first["time_ns"]) == ("west", "198.51.100.7", 50000, AT)
    assert (first["name"], first["value"]) == ("timing", {"sequence": 7, "transmitted_ns": 0})
    assert (last["name"], last["value"], last["data"], last["packets"], last["family"]) == (None, None, "0102", 3, 6)


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("", [1, 2, 3, 4]),
        ("6080", [1, 2, 3]),
        ("timing", [1, 3, 4]),
        ("0x77", [2]),
        ("6080 timing 0x77", [1, 2, 3]),
        ("west", [1, 2]),
        ("west timing", [1]),
        ("7000 0x77", []),
        ("--count 2", [1, 2]),
    ],
)
def test_watched_by_where_and_type(machine: Machine, words: str, seen: list[int]) -> None:
    must(machine, "tunnel add west --remote 198.51.100.7")
    other = IPv4Address("198.51.100.8")
    machine.delivered = [
        delivered(source_port=1),
        delivered(source_port=2, type=0x77, data=b""),
        delivered(source_port=3, source=other),
        delivered(source_port=4, port=PortKey(4, 7000), source=other),
    ]
    lines = must(machine, f"ext watch {words} --json").out.splitlines()
    assert [json.loads(line)["peer_port"] for line in lines] == seen


def test_watching_what_is_not_there(machine: Machine) -> None:
    assert "there is no tunnel east" in must(machine, "ext watch east", 5).err
    assert "no port has a rule to deliver that" in must(machine, "ext watch").err
    must(machine, "ext receive add 6080 timing deliver")
    assert must(machine, "ext watch timing").err == ""
    assert "no port has a rule" in must(machine, "ext watch group").err
    assert "has no delivered options" in must(machine, "ext watch --module fou", 2).err


def test_two_tunnels_with_the_same_ends_are_nobodys(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 198.51.100.7")
    must(machine, "tunnel add gre1 --remote 198.51.100.7 --mode gre --key 5")
    machine.delivered = [delivered()]
    assert json.loads(must(machine, "ext watch --json").out)["tunnel"] is None
    assert json.loads(must(machine, "ext watch west --json").out)["tunnel"] == "west"


def test_counters_are_shown(machine: Machine) -> None:
    rule = ReceiveRule(0x1C, deliver=True, stats=RuleStats(12, 3, 4))
    key = PortKey(4, 7001)
    machine.spaces[ROOT].ports[key] = Port(key, frozenset({Accept.GUTLESS}), any_source=True, rules=frozenset({rule}))
    assert "timing=deliver  matched 12, dropped 3, delivered 4" in must(machine, "port show 7001").out
