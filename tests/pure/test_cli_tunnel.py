# SPDX-License-Identifier: Apache-2.0
"""gutctl tunnel: what it prints, and what it leaves in the kernel."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cli_runner import gutctl, must
from fake_kernel import ROOT, Machine

from gutctl.model import Origin, Stats

ADD = "tunnel add west --remote 198.51.100.7"


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_as_the_design_shows_it(machine: Machine) -> None:
    line = f"{ADD} --address 10.9.0.1/30"
    assert must(machine, line).out == (
        "west: 203.0.113.5:6080 -> 198.51.100.7:6080, format gutless, csum full, mtu 1472, up\n"
        "  port 6080/udp accepts gue0 bare gutless from 198.51.100.7\n"
    )
    assert must(machine, line).out == "west: unchanged\n"
    conflict = must(machine, "tunnel add west --remote 198.51.100.9", 3)
    assert conflict.err == (
        "gutctl: west exists and differs: remote 198.51.100.7 (asked: 198.51.100.9)\n"
        "  hint: gutctl tunnel set west --remote 198.51.100.9\n"
    )
    assert must(machine, "tunnel del east").out == "east: absent\n"
    assert must(machine, "tunnel del west").out == "west: deleted\n"


def test_the_link_that_is_made(machine: Machine) -> None:
    must(machine, f"{ADD} --local 203.0.113.5 --sport 7000 --ttl 9 --tos inherit --format gue")
    link = machine.spaces[ROOT].links["west"]
    assert (link.kind, link.protocol, link.encap_type, link.encap_flags) == ("sit", 0, 5, 1)
    assert (link.encap_sport, link.encap_dport, link.ttl, link.tos) == (7000, 6080, 9, 1)
    assert (link.mtu, link.up, link.pmtudisc) == (1468, True, True)
    assert link.alias == "gutless port=6080 added=198.51.100.7"


@pytest.mark.parametrize(
    ("words", "kind", "protocol"),
    [("--remote 198.51.100.7", "ipip", 4), ("--remote 198.51.100.7 --inner ipv6", "sit", 41),
     ("--remote 2001:db8::7", "ip6tnl", 4), ("--remote 2001:db8::7 --inner ipv6", "ip6tnl", 41)],
)  # fmt: skip
def test_fou_takes_one_protocol(machine: Machine, words: str, kind: str, protocol: int) -> None:
    must(machine, f"tunnel add west {words} --format fou")
    link = machine.spaces[ROOT].links["west"]
    (port,) = machine.spaces[ROOT].ports.values()
    assert (link.kind, link.protocol) == (kind, protocol)
    assert (port.accept, port.fou_protocol, port.inner) == (frozenset({"fou"}), protocol, frozenset({protocol}))


def test_ipv6_sends_from_an_address_of_the_route(machine: Machine) -> None:
    """An ip6tnl link without a local address would send from ::."""
    must(machine, "tunnel add west --remote 2001:db8::7")
    assert str(machine.spaces[ROOT].links["west"].local) == "2001:db8::5"


def test_zero_checksum_over_ipv6(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 2001:db8::7")
    result = must(machine, "tunnel add east --remote 2001:db8::8 --csum zero")
    assert "RFC 6936" in result.err
    (port,) = machine.spaces[ROOT].ports.values()
    assert port.zero_csum6
    must(machine, "tunnel del east")
    (port,) = machine.spaces[ROOT].ports.values()
    assert not port.zero_csum6


def test_profile_is_shared_and_goes_with_the_last(machine: Machine) -> None:
    words = "--sport 50000-50100"
    must(machine, f"{ADD} {words}")
    must(machine, f"tunnel add east --remote 198.51.100.8 {words}")
    must(machine, f"tunnel add north --remote 198.51.100.9 {words} --csum zero")
    flags = {name: link.encap_flags for name, link in machine.spaces[ROOT].links.items()}
    assert flags == {"west": 1 << 3 | 1, "east": 1 << 3 | 1, "north": 2 << 3}
    must(machine, "tunnel del west")
    assert sorted(machine.spaces[ROOT].profiles) == [1, 2]
    must(machine, "tunnel del east")
    assert sorted(machine.spaces[ROOT].profiles) == [2]


def test_administrators_port_and_profile_stay(machine: Machine) -> None:
    must(machine, "port add 6080 --from 10.0.0.0/8")
    must(machine, "profile add --format gutless --sport 50000-50100")
    before = machine.snapshot()
    must(machine, f"{ADD} --sport 50000-50100")
    assert machine.spaces[ROOT].links["west"].encap_flags >> 3 == 1
    must(machine, "tunnel del west")
    assert machine.snapshot() == before


def test_what_the_administrator_allowed_stays(machine: Machine) -> None:
    must(machine, "port add 6080 --from 198.51.100.7")
    before = machine.snapshot()
    must(machine, ADD)
    assert machine.spaces[ROOT].links["west"].alias == "gutless port=6080"
    must(machine, "tunnel del west")
    assert machine.snapshot() == before


def test_check_and_diff(machine: Machine) -> None:
    before = machine.snapshot()
    result = must(machine, f"{ADD} --check --diff --sport 50000-50100", 8)
    assert result.out.splitlines() == [
        "+ profile  format gutless, csum full, sport 50000-50100",
        "+ port 6080/udp  from 198.51.100.7",
        "+ tunnel west: *:6080 -> 198.51.100.7:6080, format gutless, csum full, sport 50000-50100, mtu 1472, up",
        "west: would be added",
    ]
    assert machine.snapshot() == before
    must(machine, ADD)
    assert must(machine, f"{ADD} --check").out == "west: unchanged\n"
    assert must(machine, "tunnel set west --ttl 64 --check").out == "west: unchanged\n"
    result = must(machine, "tunnel set west --csum zero --check", 8)
    assert "west: would be changed" in result.out and "  take west down" in result.out
    result = must(machine, "tunnel del west --check", 8)
    assert result.out.splitlines() == ["west: would be deleted", "  close port 6080/udp", "  delete link west"]


def test_verbose_says_it_in_words_of_ip(machine: Machine) -> None:
    result = must(machine, f"{ADD} -v --format gue --address 10.9.0.1/30 --move-to blue")
    commands = [line for line in result.err.splitlines() if line.startswith("+ ")]
    assert commands[0].startswith("+ ip link add west mtu 1468 type sit mode any remote 198.51.100.7 ttl 64 encap gue")
    assert "encap-sport auto encap-dport 6080 encap-csum" in commands[0]
    assert commands[1:] == [
        "+ ip link set west alias 'gutless port=6080 added=198.51.100.7'",
        "+ ip link set west netns blue",
        "+ ip -n blue address add 10.9.0.1/30 dev west",
        "+ ip -n blue link set west up",
    ]


def test_options_before_and_after_the_verb(machine: Machine) -> None:
    must(machine, "-n blue tunnel add west --remote 198.51.100.7")
    for line in ("-n blue --json tunnel list", "tunnel -n blue list --json", "tunnel list --json -n blue"):
        assert [t["name"] for t in must(machine, line).record["tunnels"]] == ["west"]
    assert must(machine, "tunnel list --json").record["tunnels"] == []


def test_moved_device(machine: Machine) -> None:
    line = f"{ADD} --address 10.9.0.1/30 --move-to blue"
    must(machine, line)
    assert machine.spaces["blue"].links["west"].up
    assert must(machine, line).out == "west: unchanged\n"
    # another tunnel on the same port, to the same peer's prefix, leaves its port alone
    must(machine, "tunnel add east --remote 198.51.100.8 --from 198.51.100.7")
    must(machine, "tunnel del east")
    (port,) = machine.spaces[ROOT].ports.values()
    assert [str(network) for network in port.sources] == ["198.51.100.7/32"]
    must(machine, "-n blue tunnel set west --port 7000 --peer-port 7000")
    assert [key.port for key in machine.spaces[ROOT].ports] == [7000]
    must(machine, "-n blue tunnel del west")
    assert machine.snapshot() == Machine().snapshot()


def test_name_taken_where_it_shall_stand(machine: Machine) -> None:
    must(machine, "-n blue tunnel add west --remote 198.51.100.7")
    before = machine.snapshot()
    result = must(machine, f"{ADD} --move-to blue", 3)
    assert "west exists in namespace blue and sends from another namespace" in result.err
    assert machine.snapshot() == before


def test_mtu_follows_unless_given(machine: Machine) -> None:
    must(machine, ADD)
    must(machine, "tunnel set west --format gue")
    assert machine.spaces[ROOT].links["west"].mtu == 1468
    must(machine, "tunnel set west --mtu 1400")
    must(machine, "tunnel set west --format gutless")
    assert machine.spaces[ROOT].links["west"].mtu == 1400
    conflict = must(machine, ADD, 3)
    assert "mtu 1400 (asked: auto, now 1472)" in conflict.err
    must(machine, "tunnel set west --mtu auto")
    assert machine.spaces[ROOT].links["west"].mtu == 1472


def test_a_route_that_changed_is_a_note(machine: Machine) -> None:
    must(machine, ADD)
    machine.spaces[ROOT].path_mtu = 1400
    result = must(machine, ADD)
    assert result.out == "west: unchanged\n"
    assert "west has mtu 1472, the route to 198.51.100.7 would now give 1372" in result.err
    machine.spaces[ROOT].routed = False
    assert must(machine, ADD).out == "west: unchanged\n"


def test_set_follows_the_peer(machine: Machine) -> None:
    must(machine, ADD)
    must(machine, "tunnel set west --remote 198.51.100.9")
    (port,) = machine.spaces[ROOT].ports.values()
    assert [str(network) for network in port.sources] == ["198.51.100.9/32"]
    assert must(machine, "tunnel add west --remote 198.51.100.9").out == "west: unchanged\n"


def test_set_keeps_ipv6_addresses(machine: Machine) -> None:
    """Going down takes them."""
    must(machine, f"{ADD} --address 10.9.0.1/30 --address fd09::1/64")
    result = must(machine, "tunnel set west --ttl 9")
    assert set(machine.spaces[ROOT].links["west"].addresses) == {"10.9.0.1/30", "fd09::1/64"}
    assert "west goes down for a moment" in result.err
    assert "goes down" not in must(machine, "tunnel set west --mtu 1400").err


def test_missing_port_is_a_difference_that_set_mends(machine: Machine) -> None:
    must(machine, ADD)
    must(machine, "port del 6080 --force")
    listed = must(machine, "tunnel list")
    assert "west: its receiving port 6080/udp is not open" in listed.err
    conflict = must(machine, ADD, 3)
    assert "receiving port missing" in conflict.err
    must(machine, "tunnel set west --port 6080")
    assert must(machine, ADD).out == "west: unchanged\n"


def test_missing_profile_is_a_difference_that_set_mends(machine: Machine) -> None:
    """It is not counted among links without a profile: it sends nothing."""
    for words in ("--sport auto", "--sport 50000-50001"):
        must(machine, f"{ADD} --sport 50000-50001")
        must(machine, "profile del 1 --force")
        conflict = must(machine, f"{ADD} {words}", 3)
        assert "sport of the missing profile 1" in conflict.err
        must(machine, conflict.err.partition("hint: gutctl ")[2])
        assert must(machine, f"{ADD} {words}").out == "west: unchanged\n"
        must(machine, "tunnel del west")


def test_link_without_alias_is_ours_too(machine: Machine) -> None:
    must(machine, ADD)
    links = machine.spaces[ROOT].links
    links["west"] = replace(links["west"], alias="uplink")
    assert must(machine, ADD).out == "west: unchanged\n"
    must(machine, "tunnel del west")
    assert machine.spaces[ROOT].ports == {}


def test_module_gone(machine: Machine) -> None:
    must(machine, f"{ADD} --sport 50000-50100")
    machine.loaded = False
    assert "the gutless module is not loaded: nothing passes" in must(machine, "tunnel list").err
    assert "not loaded" in must(machine, "tunnel del west").err
    assert machine.spaces[ROOT].links == {}


def test_text_and_record_agree(machine: Machine) -> None:
    must(machine, f"{ADD} --address 10.9.0.1/30 --sport 50000-50100 --tos inherit")
    space = machine.spaces[ROOT]
    space.links["west"] = replace(
        space.links["west"], rx_packets=1204, rx_octets=1_100_000, tx_packets=1198, tx_octets=900
    )
    (key,) = space.ports
    space.ports[key] = replace(space.ports[key], stats=Stats(1204, 1_100_000, {"source": 0, "options": 2}))
    record = must(machine, "tunnel show west --json").record["tunnel"]
    assert record["stats"]["rx_packets"] == 1204 and record["port_drops"] == {"source": 0, "options": 2}
    (listed,) = must(machine, "tunnel list --json").record["tunnels"]
    assert listed == {name: value for name, value in record.items() if name != "receiver"}
    head, row = must(machine, "tunnel list --stats").out.splitlines()
    assert head.split()[:7] == ["NAME", "MODE", "FORMAT", "LOCAL", "REMOTE", "MTU", "STATE"]
    for cell in ("203.0.113.5:6080", "198.51.100.7:6080", "1204 / 1.1M", "1198 / 900", "2 (options 2)"):
        assert cell in row
    text = must(machine, "tunnel show west").out
    for name, value in (("mtu", "1472"), ("tos", "inherit"), ("source ports", "50000-50100"), ("profile", "1")):
        assert any(line.split("  ")[0] == name and line.endswith(value) for line in text.splitlines()), name


def test_answers_as_records(machine: Machine) -> None:
    pending = must(machine, f"{ADD} --json --check --diff", 8).record
    assert (pending["schema"], pending["result"], pending["pending"]) == (1, "added", True)
    assert pending["steps"] == ["open port 6080/udp for 198.51.100.7", "add link west", "bring west up"]
    assert pending["diff"][0] == "+ port 6080/udp  from 198.51.100.7"
    added = must(machine, f"{ADD} --json").record
    assert (added["result"], added["pending"]) == ("added", False)
    assert added["tunnel"] == must(machine, "tunnel show west --json").record["tunnel"]
    for name, value in pending["tunnel"].items():
        if name not in ("kind", "stats", "receiver", "source"):
            assert added["tunnel"][name] == value, name
    assert must(machine, f"{ADD} --json").record["result"] == "unchanged"
    assert must(machine, "tunnel del west --json").record == {
        "schema": 1, "result": "deleted", "pending": False, "notes": [], "tunnel": None,
    }  # fmt: skip
    assert json.loads(must(machine, "tunnel del west --json").out)["result"] == "absent"


def test_port_claimed_by_the_administrator_outlives_its_tunnel(machine: Machine) -> None:
    must(machine, ADD)
    must(machine, "port add 6080 --from 10.0.0.0/8")
    must(machine, "tunnel del west")
    (port,) = machine.spaces[ROOT].ports.values()
    assert port.origin is Origin.ADMIN
    assert [str(network) for network in port.sources] == ["10.0.0.0/8"]


def test_any_source_goes_with_its_tunnel(machine: Machine) -> None:
    must(machine, f"{ADD} --any-source")
    must(machine, "tunnel add east --remote 198.51.100.8")
    must(machine, "tunnel del west")
    (port,) = machine.spaces[ROOT].ports.values()
    assert not port.any_source and [str(n) for n in port.sources] == ["198.51.100.8/32"]
    assert gutctl(machine, "tunnel list").err == ""
