# SPDX-License-Identifier: Apache-2.0
"""Receive rules over netlink: what is refused, what a request does to the rules there are, how many there can be.

    one namespace with ports, raw netlink and the tool's own door
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from errno import EINVAL, ENOENT, ERANGE
from ipaddress import ip_network

import leftovers
import pytest
from net import Host, Net
from optionrules import asked, attribute, rules_of
from rawnl import RawNetlink, Refused, attr, key, n, nest, source, u8, u32
from refusals import Refusal

from gutctl.encap import ReceiveRule, RuleAction
from gutctl.model import Accept, Port, PortKey
from gutctl.netlink import Event, Kernel

IGNORE, REQUIRE, DROP = RuleAction.IGNORE, RuleAction.REQUIRE, RuleAction.DROP
TYPES = [number for number in range(2, 256) if number != 0x59]
RULE = "A_PORT_OPTION_RULE"
ACCEPT = {name: n(f"ACCEPT_{name}") for name in ("FOU", "GUE0", "BARE", "GUTLESS")}


@pytest.fixture(scope="module")
def host(module_net: Net, gutless: None) -> Host:
    return module_net.host("rules")


@pytest.fixture(scope="module")
def netlink(host: Host) -> Iterator[RawNetlink]:
    made = host.call(RawNetlink)
    made.do("PORT_ADD", key(6080), source("192.0.2.0/24"), attribute(ReceiveRule(0x58, REQUIRE, value=bytes(4))))
    made.do("PORT_ADD", key(5555), u32("A_PORT_ACCEPT", ACCEPT["FOU"]), u8("A_PORT_FOU_PROTOCOL", 4))
    made.do("PORT_ADD", key(6081), u32("A_PORT_ACCEPT", ACCEPT["GUE0"] | ACCEPT["BARE"]))
    yield made
    made.close()


@pytest.fixture
def kernel(host: Host) -> Iterator[Kernel]:
    with Kernel(host.name) as made:
        yield made


NOT_BOTH = (EINVAL, "a rule is a type of option and an action", RULE)
NO_PADS = (EINVAL, "there are no rules for padding", RULE)
NO_REMCSUM = (EINVAL, "a remote checksum is acted on: there are no rules for it", RULE)
NO_VALUE = (EINVAL, "only a rule that requires an option has a value", RULE)
NO_DELIVERY = (EINVAL, "only what passes by a rule can be delivered", RULE)
NOT_GUTLESS = (EINVAL, "rules for options are for a port that accepts GUT-less")
TWICE = (EINVAL, "two rules for one type of option", RULE)
OTHER_LENGTH = (EINVAL, "options of this type are of another length", RULE)
NONE_THERE = (ENOENT, "the port has no rule for this type", RULE)

BAD: dict[str, tuple[bytes, tuple[int, str, str | int]]] = {
    "nothing in it": (nest(RULE), NOT_BOTH),
    "no action": (nest(RULE, u8("A_OPTION_RULE_TYPE", 0x3E)), NOT_BOTH),
    "no type": (nest(RULE, u8("A_OPTION_RULE_ACTION", 1)), NOT_BOTH),
    "pad1": (asked(0, IGNORE), NO_PADS),
    "pad-n": (asked(1, REQUIRE), NO_PADS),
    "no rule for pad": (asked(0, None), NO_PADS),
    "remote checksum": (asked(0x59, IGNORE), NO_REMCSUM),
    "remote checksum, required": (asked(0x59, REQUIRE, value=bytes(4)), NO_REMCSUM),
    "ignore with a value": (asked(0x3E, IGNORE, value=b"x"), NO_VALUE),
    "drop with a value": (asked(0x3E, DROP, value=b""), NO_VALUE),
    "none with a value": (asked(0x58, None, value=bytes(4)), NO_VALUE),
    "drop and deliver": (asked(0x3E, DROP, deliver=1), NO_DELIVERY),
    "none and deliver": (asked(0x58, None, deliver=1), NO_DELIVERY),
    "group of 3": (asked(0x58, REQUIRE, value=bytes(3)), OTHER_LENGTH),
    "group of 0": (asked(0x58, REQUIRE, value=b""), OTHER_LENGTH),
    "session of 4": (asked(0x5A, REQUIRE, value=bytes(4)), OTHER_LENGTH),
    "auth of 27": (asked(0x5B, REQUIRE, value=bytes(27)), OTHER_LENGTH),
    "twice": (asked(0x3E, IGNORE) + asked(0x3E, IGNORE), TWICE),
    "twice, with one between": (asked(0x3E, IGNORE) + asked(0x1E, DROP) + asked(0x3E, DROP), TWICE),
    "none for what has none": (asked(0x3E, None), NONE_THERE),
    "a good one and a bad one": (asked(0x1E, DROP) + asked(0, IGNORE), NO_PADS),
    "action 4": (asked(0x3E, 4), (ERANGE, "integer out of range", "A_OPTION_RULE_ACTION")),
    "deliver 2": (asked(0x3E, IGNORE, deliver=2), (ERANGE, "integer out of range", "A_OPTION_RULE_DELIVER")),
    "value of 123": (asked(0x3E, REQUIRE, value=bytes(123)), (ERANGE, "Attribute failed policy validation", "A_OPTION_RULE_VALUE")),
    "type of two octets": (
        nest(RULE, attr(n("A_OPTION_RULE_TYPE"), b"\x3e\0"), u8("A_OPTION_RULE_ACTION", 1)),
        (EINVAL, "invalid attribute length", "A_OPTION_RULE_TYPE"),
    ),
    "counters": (
        nest(RULE, u8("A_OPTION_RULE_TYPE", 0x3E), u8("A_OPTION_RULE_ACTION", 1), nest("A_OPTION_RULE_STATS")),
        (EINVAL, "Unsupported attribute", "A_OPTION_RULE_STATS"),
    ),
    "no nest": (attr(n(RULE), u8("A_OPTION_RULE_TYPE", 0x3E)), (EINVAL, "NLA_F_NESTED is missing", RULE)),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["PORT_ADD", "PORT_SET"])
def test_refused(netlink: RawNetlink, command: str, name: str) -> None:
    body, said = BAD[name]
    Refusal(command, key(6080 if command == "PORT_SET" else 6090) + body, *said).check(netlink)


def test_refused_on_ports_without_options(netlink: RawNetlink) -> None:
    rule = asked(0x3E, IGNORE)
    for refusal in (
        Refusal("PORT_SET", key(5555) + rule, *NOT_GUTLESS, RULE),
        Refusal("PORT_SET", key(6081) + rule, *NOT_GUTLESS, RULE),
        Refusal("PORT_ADD", key(6090) + rule + u32("A_PORT_ACCEPT", ACCEPT["FOU"]) + u8("A_PORT_FOU_PROTOCOL", 4), *NOT_GUTLESS, RULE),
        Refusal("PORT_ADD", key(6090) + rule + u32("A_PORT_ACCEPT", ACCEPT["BARE"]), *NOT_GUTLESS, RULE),
        # the port has a rule, and shall not accept GUT-less any more
        Refusal("PORT_SET", key(6080) + u32("A_PORT_ACCEPT", ACCEPT["BARE"]), *NOT_GUTLESS, "A_PORT_ACCEPT"),
    ):
        refusal.check(netlink)
    # without the rule it need not
    netlink.do("PORT_ADD", key(6091), rule)
    netlink.do("PORT_SET", key(6091), u32("A_PORT_ACCEPT", ACCEPT["BARE"]), asked(0x3E, None))
    netlink.do("PORT_DEL", key(6091))


def test_what_a_change_does(kernel: Kernel, netlink: RawNetlink) -> None:
    """ADD has the whole set; SET adds, puts in place, takes away, and leaves the others."""
    port = PortKey(4, 6092)
    a, b, c = ReceiveRule(0x3E, deliver=True), ReceiveRule(0x58, REQUIRE, True, bytes(4)), ReceiveRule(0x9E, DROP)
    kernel.port_add(Port(port, any_source=True, rules=frozenset({a, b})))
    steps: list[tuple[dict[str, object], set[ReceiveRule]]] = [
        ({}, {a, b}),
        ({"rules": [c]}, {a, b, c}),
        ({"rules": [replace(b, value=b"\0\0\0\1"), replace(a, deliver=False)]}, {replace(a, deliver=False), replace(b, value=b"\0\0\0\1"), c}),
        ({"remove_rules": [0x3E], "zero_csum6": True}, {replace(b, value=b"\0\0\0\1"), c}),
        ({"rules": [a], "remove_rules": [0x58, 0x9E]}, {a}),
        ({"accept": frozenset({Accept.GUTLESS})}, {a}),
        ({"remove_rules": [0x3E]}, set()),
        ({"rules": [ReceiveRule(0xFE, REQUIRE, value=b"")]}, {ReceiveRule(0xFE, REQUIRE, value=b"")}),
    ]
    for change, wanted in steps:
        kernel.port_set(port, **change)  # type: ignore[arg-type]
        now = kernel.port(port)
        assert now is not None
        assert now.rules == wanted, change
        assert set(rules_of(netlink, key(6092)).values()) == wanted
    kernel.port_del(port)


def test_as_many_rules_as_there_are_types_with_the_longest_values(kernel: Kernel, netlink: RawNetlink) -> None:
    """253 rules with 122 octets each, and 300 sources: whole in a dump, in an answer and in an event, beside other ports."""
    rules = frozenset(
        ReceiveRule(number, REQUIRE, True, bytes({0x58: 4, 0x5A: 8, 0x5B: 26}.get(number, 122)))
        for number in TYPES
    )
    sources = frozenset(ip_network(f"10.0.{i // 256}.{i % 256}/32") for i in range(300))
    big = Port(PortKey(4, 6093), sources=sources, rules=rules)
    few = [Port(PortKey(4, number), sources=frozenset({ip_network("10.0.0.0/8")})) for number in (6094, 6095)]
    for port in (big, *few):
        kernel.port_add(port)
    assert kernel.port(big.key) == big
    found = {port.key: port for port in kernel.ports()}
    assert [found[port.key] for port in (big, *few)] == [big, *few]
    kernel.port_set(big.key, replace_sources=sources - {ip_network("10.0.0.0/32")} - {ip_network(f"10.0.1.{i}/32") for i in range(44)})
    messages = netlink.do("PORT_GET", key(6093))
    assert len(messages) == 1
    assert sum(kind == n(RULE) for kind, _ in messages[0].attributes) == 253
    with kernel.events() as events:
        kernel.port_set(big.key, remove_rules=[2])
        event = events.read(30)
    assert isinstance(event, Event)
    assert isinstance(event.record, Port)
    assert event.record.rules == frozenset(rule for rule in rules if rule.type != 2)
    for port in (big, *few):
        kernel.port_del(port.key)


def test_a_dump_in_parts_has_every_rule_once(netlink: RawNetlink) -> None:
    value = {0x58: 4, 0x5A: 8, 0x5B: 26}
    rules = (asked(number, REQUIRE, value=bytes(value.get(number, 122))) for number in TYPES)
    netlink.do("PORT_ADD", key(6096), source("10.0.0.0/8"), *rules)
    found: list[int] = []
    messages = netlink.dump("PORT_GET", key(6096))
    for message in messages:
        found += [data[4] for kind, data in message.attributes if kind == n(RULE)]
    assert sorted(found) == TYPES
    assert len(messages) > 1
    assert [message.first("A_PORT_STATS") is not None for message in messages] == [True] + [False] * (len(messages) - 1)
    assert [message.first("A_PORT_SOURCE") is not None for message in messages] == [False] * (len(messages) - 1) + [True]
    netlink.do("PORT_DEL", key(6096))


def test_nothing_is_left_behind(netlink: RawNetlink) -> None:
    """Rules added, put in place of others, taken away, refused half way, and gone with their port: many times."""
    three = [attribute(ReceiveRule(number, REQUIRE, True, bytes(100))) for number in (0x1E, 0x3E, 0x5E)]

    def once() -> None:
        netlink.do("PORT_ADD", key(6097), *three)
        netlink.do("PORT_SET", key(6097), asked(0x3E, IGNORE), asked(0x9E, DROP))
        netlink.do("PORT_SET", key(6097), *three)
        netlink.do("PORT_SET", key(6097), u8("A_PORT_ANY_SOURCE", 1))
        netlink.do("PORT_SET", key(6097), asked(0x1E, None), asked(0x5E, None))
        for bad in (asked(0x1E, IGNORE) + asked(0, IGNORE), asked(0x7E, IGNORE) * 2, asked(0x7E, None)):
            with pytest.raises(Refused):
                netlink.do("PORT_SET", key(6097) + bad)
            with pytest.raises(Refused):
                netlink.do("PORT_ADD", key(6098) + bad)
        netlink.do("PORT_DEL", key(6097))

    once()
    before = leftovers.held()
    for _ in range(300):
        once()
    leftovers.wait_for_none(before, 150, 256)
