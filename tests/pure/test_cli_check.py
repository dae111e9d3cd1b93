# SPDX-License-Identifier: Apache-2.0
"""Checksum mode neutral, and ports that verify headers, on the command line."""

from __future__ import annotations

import pytest
from cli_runner import must
from fake_kernel import ROOT, Machine

from gutctl.model import Accept, Csum, Format


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("mode", ["ip", "gre", "eth"])
@pytest.mark.parametrize("remote", ["198.51.100.7", "2001:db8::7"])
def test_a_tunnel_with_check(machine: Machine, mode: str, remote: str) -> None:
    """It has a header whatever is inside, and its link takes single packets only."""
    line = f"tunnel add west --remote {remote} --mode {mode} --csum neutral"
    assert "large packets are segmented before" in must(machine, line).err
    assert must(machine, line).out == "west: unchanged\n"
    space = machine.spaces[ROOT]
    (profile,) = space.profiles.values()
    assert (profile.number, profile.format, profile.csum) == (1, Format.GUTLESS, Csum.NEUTRAL)
    link = space.links["west"]
    assert (link.encap_type, link.encap_flags >> 3, link.gso_segments) == (5, 1, 65534)
    shown = must(machine, "tunnel show west --json").record["tunnel"]
    assert (shown["csum"], shown["segmented"]) == ("neutral", True)
    must(machine, "tunnel del west")
    assert machine.snapshot() == Machine().snapshot()


def test_on_and_off(machine: Machine) -> None:
    """With the header's 4 octets, and the segmentation, both ways."""
    must(machine, "tunnel add west --remote 198.51.100.7")
    links = machine.spaces[ROOT].links
    mtu = links["west"].mtu or 0
    must(machine, "tunnel set west --csum neutral")
    assert (links["west"].mtu, links["west"].gso_segments, links["west"].encap_type) == (mtu - 4, 65534, 5)
    assert must(machine, "tunnel set west --csum neutral").out == "west: unchanged\n"
    must(machine, "tunnel set west --csum full")
    assert (links["west"].mtu, links["west"].gso_segments, links["west"].encap_type) == (mtu, 65535, 4)


def test_beside_an_option_the_link_stays(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 198.51.100.7 --option group=7")
    links = machine.spaces[ROOT].links
    before = links["west"]
    must(machine, "tunnel set west --csum neutral")
    assert (links["west"].mtu, links["west"].encap_flags, links["west"].gso_segments) == (before.mtu, before.encap_flags, 65534)
    must(machine, "tunnel set west --csum full")
    assert links["west"] == before


def test_a_rule_to_a_profile_with_check(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 198.51.100.7 --option group=7")
    must(machine, "profile add 600 --format gutless --csum neutral")
    must(machine, "ext rule add west --mark 7 --profile 600")
    assert machine.spaces[ROOT].links["west"].single


def test_its_port_takes_gutless(machine: Machine) -> None:
    must(machine, "port add 6080 --from 198.51.100.7 --accept bare")
    refused = must(machine, "tunnel add west --remote 198.51.100.7 --csum neutral", 3)
    assert "--accept bare,gutless" in refused.err


@pytest.mark.parametrize("form", ["fou --inner ipv4", "gue"])
def test_of_gutless_alone(machine: Machine, form: str) -> None:
    refused = must(machine, f"tunnel add west --remote 198.51.100.7 --format {form} --csum neutral", 2)
    assert "has no Check word" in refused.err and "hint: --format gutless" in refused.err
    assert "has no Check word" in must(machine, f"profile add --format {form.split()[0]} --csum neutral", 2).err
    assert machine.snapshot() == Machine().snapshot()


def test_a_module_that_does_not_know_it(machine: Machine) -> None:
    machine.features -= {"neutral", "verify-headers"}
    must(machine, "tunnel add west --remote 198.51.100.7 --csum neutral", 7)
    must(machine, "profile add --format gutless --csum neutral", 7)
    must(machine, "port add 7000 --any-source --verify headers", 7)
    must(machine, "port add 7000 --any-source --verify all")


def test_a_port_that_verifies_headers(machine: Machine) -> None:
    line = "port add 7000 --from 10.0.0.0/8"
    must(machine, line)
    ports = machine.spaces[ROOT].ports
    assert "verifies" in must(machine, "port show 7000").out
    conflict = must(machine, f"{line} --verify headers", 3)
    assert "verify all (asked: headers)" in conflict.err
    changed = must(machine, conflict.err.partition("hint: gutctl ")[2])
    assert "left to the inner protocol" in changed.err
    (port,) = ports.values()
    assert port.verify_headers
    assert must(machine, "port show 7000 --json").record["port"]["verify_headers"] is True
    assert must(machine, f"{line} --verify headers").out == "port 7000/udp: unchanged\n"
    must(machine, "port set 7000 --any-source")
    (port,) = ports.values()
    assert port.verify_headers
    must(machine, "port set 7000 --verify all --no-any-source")
    assert must(machine, line).out == "port 7000/udp: unchanged\n"


def test_a_port_without_the_format(machine: Machine) -> None:
    for words in ("--accept gue0,bare", "--accept fou:4"):
        refused = must(machine, f"port add 7000 --any-source {words} --verify headers", 2)
        assert "does not accept format gutless" in refused.err
    must(machine, "port add 7000 --any-source --verify headers")
    assert "does not accept format gutless" in must(machine, "port set 7000 --accept bare", 2).err
    must(machine, "port set 7000 --accept bare --verify all")
    (port,) = machine.spaces[ROOT].ports.values()
    assert port.accept == {Accept.BARE} and not port.verify_headers
