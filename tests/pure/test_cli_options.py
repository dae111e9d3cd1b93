# SPDX-License-Identifier: Apache-2.0
"""Options of tunnels and profiles on the command line: what is made, changed in place, refused."""

from __future__ import annotations

import pytest
from cli_runner import must
from fake_kernel import ROOT, Machine

from gutctl.ext_api import parse_option
from gutctl.model import Origin, Rule
from gutctl.records import Record

GROUP = "group=7"


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    must(made, f"tunnel add west --remote 198.51.100.7 --option {GROUP}")
    return made


def west(machine: Machine) -> Record:
    record = must(machine, "tunnel show west --json").record["tunnel"]
    assert isinstance(record, dict)
    return record


def test_a_tunnel_with_an_option(machine: Machine) -> None:
    """A profile of the tunnel's own, whose number says the room; the MTU counts the options."""
    space = machine.spaces[ROOT]
    (profile,), link = space.profiles.values(), space.links["west"]
    assert profile.options == (parse_option(GROUP),)
    assert profile.number == 2 * 256 + 1 == link.encap_flags >> 3
    assert (profile.origin, link.encap_type, link.gso_segments) == (Origin.TUNNEL, 5, 65535)
    assert link.mtu == 1500 - 20 - 8 - 4 - 8
    assert west(machine)["options"] == [GROUP]
    again = f"tunnel add west --remote 198.51.100.7 --option {GROUP}"
    assert must(machine, again).out == "west: unchanged\n"
    assert "options group=7 (asked: none)" in must(machine, "tunnel add west --remote 198.51.100.7", 3).err
    differs = must(machine, "tunnel add west --remote 198.51.100.7 --option group=8", 3).err
    assert "gutctl tunnel set west --option group=8" in differs
    must(machine, "tunnel del west")
    assert machine.snapshot() == Machine().snapshot()


@pytest.mark.parametrize("line", ["tunnel set west --option group=8", "ext set west group=8"])
def test_a_value_is_changed_in_place(machine: Machine, line: str) -> None:
    machine.requests.clear()
    before = machine.spaces[ROOT].links["west"]
    assert "~ profile 513  options group=7 -> group=8" in must(machine, f"{line} --check --diff", 8).out
    assert "options group=8" in must(machine, line).out
    assert machine.spaces[ROOT].profiles[513].options == (parse_option("group=8"),)
    assert machine.spaces[ROOT].links["west"] == before, "the link is not touched"
    assert must(machine, line).out == "west: unchanged\n"


def test_another_length_takes_the_link_down(machine: Machine) -> None:
    done = must(machine, "ext attach west session=1,target=2")
    assert "goes down for a moment" in done.err
    assert west(machine)["options"] == [GROUP, "session=1,target=2"]
    space = machine.spaces[ROOT]
    assert list(space.profiles) == [4 * 256 + 1]
    assert (space.links["west"].mtu, space.links["west"].up) == (1500 - 32 - 16, True)
    assert must(machine, "ext attach west group=7").out == "west: unchanged\n"
    must(machine, "ext detach west session")
    assert (list(space.profiles), space.links["west"].mtu) == ([513], 1460)
    must(machine, "ext detach west group")
    assert (space.profiles, space.links["west"].encap_type, space.links["west"].mtu) == ({}, 4, 1472)
    assert must(machine, "ext detach west group 0x3e").out == "west: unchanged\n"
    must(machine, "tunnel set west --option group=1")
    must(machine, "tunnel set west --no-options")
    assert west(machine)["options"] == []


def test_what_differs_by_packet_is_segmented_first(machine: Machine) -> None:
    must(machine, "ext attach west timing")
    assert machine.spaces[ROOT].links["west"].single
    assert west(machine)["segmented"] is True
    assert must(machine, "ext attach west timing").out == "west: unchanged\n"
    words = "tso {0} tx-sctp-segmentation {0} tx-udp-segmentation {0} tx-gso-list {0}"
    said = must(machine, "-v tunnel set west --no-options").err
    assert machine.spaces[ROOT].links["west"].single is False
    assert f"ip link set west gso_max_segs 65535\n+ ethtool -K west {words.format('on')}\n" in said
    said = must(machine, "-v tunnel set west --option timing --mtu 1400").err
    assert f"ip link set west gso_max_segs 65534\n+ ethtool -K west {words.format('off')}\n" in said
    must(machine, "ext detach west timing")
    assert machine.spaces[ROOT].links["west"].single is False
    must(machine, "tunnel add east --remote 198.51.100.9 --option timing")
    assert machine.spaces[ROOT].links["east"].single


def test_single_packets_come_before_headers_that_differ(machine: Machine) -> None:
    """Of the same length, so that the link stays up: no large packet may meet the new header."""
    must(machine, "tunnel set west --option 0x3e=000102030405060708090a0b")
    machine.requests.clear()
    must(machine, "tunnel set west --option timing")
    assert machine.requests == ["link_set west", "profile_set 1025"]
    machine.requests.clear()
    must(machine, "tunnel set west --option 0x3e=000102030405060708090a0b")
    assert machine.requests == ["profile_set 1025", "link_set west"]
    machine.requests.clear()
    must(machine, "profile set 1025 --option timing")
    assert machine.requests == ["link_set west", "profile_set 1025"]
    machine.requests.clear()
    must(machine, "profile set 1025 --option 0x3e=000102030405060708090a0b")
    assert machine.requests == ["profile_set 1025", "link_set west"]


def test_rules(machine: Machine) -> None:
    """A longer profile needs room in the link, which then has it; a shorter one does not."""
    must(machine, "profile add --format gutless --option group=8 --option session=1,target=2")
    must(machine, "profile add --format gutless")
    space = machine.spaces[ROOT]
    assert sorted(space.profiles) == [1, 513, 4 * 256 + 1]
    done = must(machine, "ext rule add west --mark 7 --profile 1025")
    assert "goes down for a moment" in done.err
    assert "mark 0x7 -> profile 1025" in done.out
    (own,) = [profile for profile in space.profiles.values() if profile.origin is Origin.TUNNEL]
    assert (own.number, own.rules, own.options) == (1026, (Rule(7, 1025),), (parse_option(GROUP),))
    assert space.links["west"].mtu == 1500 - 32 - 16
    assert "goes down" not in must(machine, "ext rule add west --mark 0x10/0xf0 --profile 1 --first").err
    assert space.profiles[1026].rules == (Rule(16, 1, 0xF0), Rule(7, 1025))
    assert must(machine, "ext rule add west --mark 7 --profile 1025").out == "west: unchanged\n"
    assert "has a rule for it" in must(machine, "ext rule add west --mark 7 --profile 1", 3).err
    listed = must(machine, "ext rule list west").out.splitlines()
    assert listed == ["mark 0x10/0xf0 -> profile 1", "mark 0x7 -> profile 1025"]
    in_use = must(machine, "profile del 1", 4).err
    assert "west" in in_use
    must(machine, "ext rule del west --mark 7")
    assert (own.number in space.profiles, space.links["west"].mtu) == (False, 1460), "the room is given back"
    must(machine, "ext rule del west --mark 0x10/0xf0")
    assert must(machine, "ext rule del west --mark 7").out == "west: unchanged\n"
    must(machine, "ext rule del west --mark 7 --must-exist", 5)
    assert west(machine)["rules"] == []


def test_a_rule_to_a_profile_that_differs_by_packet(machine: Machine) -> None:
    must(machine, "profile add 1025 --format gutless --option timing")
    must(machine, "ext rule add west --mark 7 --profile 1025")
    assert machine.spaces[ROOT].links["west"].single
    must(machine, "ext rule del west --mark 7")
    assert machine.spaces[ROOT].links["west"].single is False
    must(machine, "profile add 1026 --format gutless --option group=9")
    must(machine, "ext rule add west --mark 8 --profile 1026")
    assert machine.spaces[ROOT].links["west"].single is False
    must(machine, "profile set 1026 --option timing")
    assert machine.spaces[ROOT].links["west"].single
    must(machine, "profile add 1030 --format gutless --option group=8")
    must(machine, "ext rule add west --mark 9 --profile 1030")
    must(machine, "profile set 1030 --option timing")
    must(machine, "profile set 1030 --option group=8")
    assert machine.spaces[ROOT].links["west"].single, "of another profile of it they still differ"
    must(machine, "profile set 1026 --option group=9")
    assert machine.spaces[ROOT].links["west"].single is False


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("tunnel add e --remote 198.51.100.9 --option group", 2, "group"),
        ("tunnel add e --remote 198.51.100.9 --option group=4294967296", 2, "group"),
        ("tunnel add e --remote 198.51.100.9 --option nosuch=1", 5, "gutctl ext list"),
        ("tunnel add e --remote 198.51.100.9 --option 0x3e=0", 2, "hex"),
        ("tunnel add e --remote 198.51.100.9 --option 0=", 2, "padding"),
        ("tunnel add e --remote 198.51.100.9 --option group=1 --option group=2", 2, "once"),
        ("tunnel add e --remote 198.51.100.9 --option remote-checksum=0,offset=2", 2, "--csum remote"),
        ("tunnel add e --remote 198.51.100.9 --format gue --option group=1", 2, "--format gutless"),
        ("tunnel add e --remote 198.51.100.9 --format fou --option group=1", 2, "--format gutless"),
        ("tunnel add e --remote 198.51.100.9 --module fou --any-source --option group=1", 2, "--module"),
        (f"tunnel add e --remote 198.51.100.9 --option 0x3e={'00' * 123}", 2, "room for"),
        (f"tunnel add e --remote 198.51.100.9 --option 0x3e={'00' * 100} --option 0x1e={'00' * 30}", 2, "room for 124"),
        ("tunnel set west --option group=1 --no-options", 2, "--no-options"),
        ("ext attach west group=8", 3, "gutctl ext set west group=8"),
        ("ext set west session=1,target=2", 5, "gutctl ext attach west"),
        ("ext detach west timing --must-exist", 5, "0x1c"),
        ("ext attach nosuch group=8", 5, "gutctl tunnel add"),
        ("ext rule add west --mark 7 --profile 99", 5, "no profile 99"),
        ("ext rule add west --mark 7 --profile 513", 3, "a tunnel's own"),
        ("ext rule add west --mark 0x17/0xf --profile 2", 2, "no packet fits"),
        ("ext rule add west --mark 4294967296 --profile 2", 2, "32 bits"),
        ("ext rule add west --mark x --profile 2", 2, "MARK/MASK"),
        ("ext rule add west --mark 7 --profile 3", 2, "cannot send profile 3: fou"),
        ("profile add 1 --format gutless --option group=1", 2, "octets of options"),
        ("profile add 2 --format gutless --room 5", 2, "octets of options"),
        ("profile set 3 --option group=1", 2, "--format gutless"),
    ],
)  # fmt: skip
def test_refused(machine: Machine, line: str, status: int, text: str) -> None:
    must(machine, "profile add 2 --format gutless")
    must(machine, "profile add 3 --format fou")
    before = machine.snapshot()
    refused = must(machine, line, status)
    assert text in refused.err and "Traceback" not in refused.err
    assert machine.snapshot() == before


def test_a_module_without_options(machine: Machine) -> None:
    machine.features = frozenset({"ipv6", "remcsum"})
    refused = must(machine, "tunnel add east --remote 198.51.100.9 --option group=1", 7)
    assert "sends no options" in refused.err
