# SPDX-License-Identifier: Apache-2.0
"""Tunnels of every mode, format and checksum: the link, the port and the profile that are made."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from cli_runner import must
from fake_kernel import ROOT, Machine

from gutctl.errors import GutctlError
from gutctl.model import Accept, Csum, Format

REMOTE = {4: "198.51.100.7", 6: "2001:db8::7"}
KIND = {("ip", 4): "sit", ("gre", 4): "gre", ("eth", 4): "gretap",
        ("ip", 6): "ip6tnl", ("gre", 6): "ip6gre", ("eth", 6): "ip6gretap"}  # fmt: skip
# what is left of 1500 octets: less the outer header, UDP, GRE, the inner Ethernet header
LEFT = {"ip": 1492, "gre": 1488, "eth": 1474}


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize(
    ("mode", "form", "family", "key"), list(itertools.product(["ip", "gre", "eth"], Format, [4, 6], [None, 7]))
)
def test_what_is_made(machine: Machine, mode: str, form: Format, family: int, key: int | None) -> None:
    if mode == "ip" and key is not None:
        return
    words = f"tunnel add west --remote {REMOTE[family]} --mode {mode} --format {form}"
    words += "" if key is None else f" --key {key}"
    must(machine, words)
    assert must(machine, words).out == "west: unchanged\n"
    space = machine.spaces[ROOT]
    link, (port,) = space.links["west"], space.ports.values()
    kind = "ipip" if (mode, form, family) == ("ip", Format.FOU, 4) else KIND[mode, family]
    assert (link.kind, link.ikey, link.okey) == (kind, key, key)
    header = form is Format.GUE or (form is Format.GUTLESS and mode != "ip")
    assert link.encap_type == (5 if header else 4)
    assert link.mtu == LEFT[mode] - {4: 20, 6: 40}[family] - (4 if header else 0) - (4 if key else 0)
    # only a profile can say that a base header is GUT-less's
    profiles = [] if form is not Format.GUTLESS or mode == "ip" else [Format.GUTLESS]
    assert [profile.format for profile in space.profiles.values()] == profiles
    assert link.encap_flags >> 3 == len(profiles)
    if form is Format.FOU:
        assert (port.accept, port.fou_protocol) == ({Accept.FOU}, 4 if mode == "ip" else 47)
    else:
        assert port.accept == {Accept.GUE0, Accept.BARE, Accept.GUTLESS} and 47 in port.inner
    record = must(machine, "tunnel show west --json").record["tunnel"]
    assert (record["mode"], record["format"], record["key"], record["kind"]) == (mode, form, key, kind)
    must(machine, "tunnel del west")
    assert machine.snapshot() == Machine().snapshot()


@pytest.mark.parametrize(
    ("form", "csum", "words", "mode"),
    [("gue", "remote", 2, "ip"), ("gue", "remote-draft", 1, "ip"), ("gutless", "remote", 2, "ip"),
     ("gutless", "remote", 2, "gre"), ("gue", "remote", 2, "eth"), ("gue", "remote-draft", 1, "gre")],
)  # fmt: skip
def test_checksums_left_to_the_peer(machine: Machine, form: str, csum: str, words: int, mode: str) -> None:
    line = f"tunnel add west --remote 198.51.100.7 --format {form} --csum {csum} --mode {mode}"
    must(machine, line)
    assert must(machine, line).out == "west: unchanged\n"
    space = machine.spaces[ROOT]
    (profile,) = space.profiles.values()
    assert (profile.number, profile.csum, profile.format) == (words << 8 | 1, Csum(csum), Format(form))
    link = space.links["west"]
    assert (link.encap_type, link.encap_flags) == (5, profile.number << 3 | 1)
    assert link.mtu == LEFT[mode] - 20 - 4 - 4 * words
    must(machine, "tunnel set west --csum full")
    assert link.mtu is not None
    longer = space.links["west"].mtu or 0
    assert longer - link.mtu == (12 if (form, mode) == ("gutless", "ip") else 4 * words)
    must(machine, f"tunnel set west --csum {csum}")
    assert space.links["west"].mtu == link.mtu and sorted(space.profiles) == [words << 8 | 1]
    must(machine, "tunnel del west")
    assert machine.snapshot() == Machine().snapshot()


def test_a_key_as_an_address(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 198.51.100.7 --mode gre --key 0.0.1.2")
    assert machine.spaces[ROOT].links["west"].okey == 258
    assert must(machine, "tunnel add west --remote 198.51.100.7 --mode gre --key 0x102").out == "west: unchanged\n"


def test_keys_share_a_peer(machine: Machine) -> None:
    line = "tunnel add {} --remote 198.51.100.7 --mode gre {}"
    for name, key in (("a", ""), ("b", "--key 0"), ("c", "--key 1"), ("d", "--key 2")):
        must(machine, line.format(name, key))
    must(machine, "tunnel add e --remote 198.51.100.7 --mode eth")
    assert sorted(machine.spaces[ROOT].links) == list("abcde")
    listed = must(machine, "tunnel list").out.splitlines()
    assert listed[0].split()[-2:] == ["KEY", "KIND"]
    assert [row.split()[-2:] for row in listed[1:]] == [
        ["-", "gre"], ["0", "gre"], ["1", "gre"], ["2", "gre"], ["-", "gretap"],
    ]  # fmt: skip
    # one port, one profile for all of them
    assert len(machine.spaces[ROOT].ports) == len(machine.spaces[ROOT].profiles) == 1


@pytest.mark.parametrize(
    ("words", "kind", "protocol"),
    [("--link-kind ipip", "ipip", 4), ("--link-kind ipip --inner any", "ipip", 0), ("--inner ipv4", "ipip", 4),
     ("--inner ipv6", "sit", 41), ("--link-kind sit --inner ipv4", "sit", 4), ("--link-kind sit", "sit", 0),
     ("--link-kind sit --format fou", "sit", 41), ("--link-kind gretap", "gretap", 0)],
)  # fmt: skip
def test_kinds_by_name(machine: Machine, words: str, kind: str, protocol: int) -> None:
    line = f"tunnel add west --remote 198.51.100.7 {words}"
    must(machine, line)
    link = machine.spaces[ROOT].links["west"]
    assert (link.kind, link.protocol) == (kind, protocol)
    assert must(machine, line).out == "west: unchanged\n"
    # what is said again is no change
    assert must(machine, f"tunnel set west --link-kind {kind}").out == "west: unchanged\n"


def test_fou_and_gutless_of_one_protocol_are_told_apart(machine: Machine) -> None:
    """Their packets are the same; the ports they need are not."""
    must(machine, "tunnel add west --remote 198.51.100.7 --inner ipv4")
    must(machine, "tunnel add east --remote 198.51.100.8 --format fou --port 7000")
    records = must(machine, "tunnel list --json").record["tunnels"]
    assert {record["name"]: record["format"] for record in records} == {"west": "gutless", "east": "fou"}
    other = must(machine, "tunnel add east --remote 198.51.100.8 --inner ipv4 --port 7000", 3)
    assert "accepts fou:4 (needed: bare)" in other.err
    must(machine, "tunnel set west --format fou --port 7001 --peer-port 7001")
    assert machine.spaces[ROOT].links["west"].alias == "gutless port=7001 added=198.51.100.7"


def test_do_not_fragment(machine: Machine) -> None:
    line = "tunnel add west --remote 198.51.100.7 --mode gre --no-pmtudisc"
    must(machine, line)
    assert not machine.spaces[ROOT].links["west"].pmtudisc
    assert must(machine, line).out == "west: unchanged\n"
    assert any(text.split() == ["pmtudisc", "no"] for text in must(machine, "tunnel show west").out.splitlines())
    conflict = must(machine, "tunnel add west --remote 198.51.100.7 --mode gre", 3)
    assert "pmtudisc no (asked: yes)" in conflict.err
    must(machine, conflict.err.partition("hint: gutctl ")[2])
    assert machine.spaces[ROOT].links["west"].pmtudisc
    must(machine, "tunnel set west --no-pmtudisc")
    must(machine, "tunnel add east --remote 198.51.100.8 --ttl inherit --no-pmtudisc")
    assert not machine.spaces[ROOT].links["east"].pmtudisc


def test_in_words_of_ip(machine: Machine) -> None:
    result = must(machine, "tunnel add west --remote 2001:db8::7 --mode eth --key 7 --format gue -v --check", 8)
    command = next(line for line in result.err.splitlines() if " type " in line)
    assert command.startswith("+ ip link add west mtu 1426 type ip6gretap remote 2001:db8::7 local 2001:db8::5")
    assert " key 7 encaplimit none encap gue " in command and " mode " not in command


@pytest.mark.parametrize(
    ("made", "change", "csum", "ports"),
    [("--sport 50000-50100", "--csum zero", "zero", (50000, 50100)),
     ("--sport 50000-50100", "--sport 50200-50300", "full", (50200, 50300)),
     ("--sport 50000-50100", "--sport 7000", "full", (7000, 7000)),
     ("--sport 50000-50100", "--sport auto --csum zero", "zero", (49152, 65535)),
     ("--mode gre", "--csum zero", "zero", (49152, 65535)),
     ("--mode eth --sport 7000", "--csum zero", "zero", (49152, 65535)),
     ("--csum remote", "--sport 50000-50100", "remote", (50000, 50100))],
)  # fmt: skip
def test_a_change_of_the_same_length_leaves_the_link_alone(
    machine: Machine, made: str, change: str, csum: str, ports: tuple[int, int]
) -> None:
    must(machine, f"tunnel add west --remote 198.51.100.7 --address fd09::1/64 {made}")
    space = machine.spaces[ROOT]
    before, (number,) = space.links["west"], space.profiles
    machine.requests.clear()
    result = must(machine, f"tunnel set west {change}")
    assert machine.requests == [f"profile_set {number}"] and "goes down" not in result.err
    assert space.links["west"] == before
    profile = space.profiles[number]
    assert (profile.csum, profile.source_ports) == (csum, ports)
    assert must(machine, f"tunnel add west --remote 198.51.100.7 --address fd09::1/64 {made} {change}").out == (
        "west: unchanged\n"
    )
    must(machine, "tunnel del west")
    assert machine.snapshot() == Machine().snapshot()


@pytest.mark.parametrize("other", ["tunnel add east --remote 198.51.100.8 --sport 50000-50100",
                                   "profile add --format gutless --sport 50000-50100"])  # fmt: skip
def test_a_profile_of_others_too_is_left_alone(machine: Machine, other: str) -> None:
    must(machine, other)
    must(machine, "tunnel add west --remote 198.51.100.7 --sport 50000-50100")
    must(machine, "tunnel set west --csum zero")
    space = machine.spaces[ROOT]
    assert {number: profile.csum for number, profile in space.profiles.items()} == {1: "full", 2: "zero"}
    assert space.links["west"].encap_flags >> 3 == 2


@pytest.mark.parametrize("change", ["--csum remote", "--format gue --csum remote-draft", "--ttl 9", "--peer-port 7"])
@pytest.mark.parametrize("step", range(8))
def test_never_up_without_an_encapsulation(machine: Machine, change: str, step: int) -> None:
    """The link in memory loses it, as the kernel's does, when a change is refused; and asserts."""
    must(machine, "tunnel add west --remote 198.51.100.7 --address fd09::1/64")
    before = machine.snapshot()
    machine.fail_at = step
    must(machine, f"tunnel set west {change}", 1 if step < _requests(change) else 0)
    if step < _requests(change):
        assert machine.snapshot() == before


def _requests(change: str) -> int:
    other = Machine()
    must(other, "tunnel add west --remote 198.51.100.7 --address fd09::1/64")
    other.requests.clear()
    must(other, f"tunnel set west {change}")
    return len(other.requests)


def refused_twice(machine: Machine) -> Callable[[], GutctlError]:
    """The next changing request fails as well."""
    left = [0]

    def failure() -> GutctlError:
        machine.fail_at = left.pop() if left else None
        return GutctlError("refused")

    return failure


def test_what_has_lost_its_encapsulation_stays_down(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 198.51.100.7")
    machine.fail_at, machine.failure = 1, refused_twice(machine)
    result = must(machine, "tunnel set west --ttl 9", 1)
    assert "west stays down: it has lost its encapsulation" in result.err
    link = machine.spaces[ROOT].links["west"]
    assert not link.up and link.encap_type == 0


@pytest.mark.parametrize("words", ["--mode gre", "--mode eth --csum remote", "--csum remote", "--format gue --csum remote-draft"])
def test_a_missing_profile_is_mended(machine: Machine, words: str) -> None:
    """Without it the link does not know its format; what it says and what set makes of it come out right."""
    line = f"tunnel add west --remote 198.51.100.7 {words}"
    must(machine, line)
    (number,) = machine.spaces[ROOT].profiles
    before = machine.spaces[ROOT].links["west"]
    must(machine, f"profile del {number} --force")
    assert f"its profile {number} is missing: nothing is sent" in must(machine, "tunnel list").err
    conflict = must(machine, line, 3)
    must(machine, conflict.err.partition("hint: gutctl ")[2])
    assert must(machine, line).out == "west: unchanged\n"
    assert machine.spaces[ROOT].links["west"] == before
    must(machine, "tunnel del west")
    assert machine.snapshot() == Machine().snapshot()
