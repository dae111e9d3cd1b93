# SPDX-License-Identifier: Apache-2.0
"""gutctl port, profile and stats."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest
from cli_runner import must
from fake_kernel import ROOT, Machine

from gutctl.model import Accept, Origin, Port, PortKey, Stats


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_port_as_asked(machine: Machine) -> None:
    result = must(machine, "port add 7000 --accept gue0,bare --inner ipv4,47 --from 10.0.0.0/8 --from 192.0.2.1")
    assert result.out == "port 7000/udp accepts gue0 bare from 10.0.0.0/8, 192.0.2.1\n"
    assert list(machine.spaces[ROOT].ports.values()) == [
        Port(
            PortKey(4, 7000),
            frozenset({Accept.GUE0, Accept.BARE}),
            inner=frozenset({4, 47}),
            sources=frozenset({ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32")}),
            origin=Origin.ADMIN,
        )
    ]


def test_device_and_local_name_a_port(machine: Machine) -> None:
    must(machine, "port add 7000 --local 203.0.113.5 --dev eth0 --any-source")
    assert list(machine.spaces[ROOT].ports) == [PortKey(4, 7000, IPv4Address("203.0.113.5"), 2)]
    shown = must(machine, "port show 7000 --local 203.0.113.5 --dev eth0 --json").record["port"]
    assert (shown["local"], shown["device"]) == ("203.0.113.5", "eth0")
    assert "203.0.113.5:7000%eth0" in must(machine, "port list").out


@pytest.mark.parametrize("words", ["-6", "--family 6", "--from 2001:db8::/32", "--local 2001:db8::5"])
def test_family_follows_what_is_given(machine: Machine, words: str) -> None:
    rest = "" if "--from" in words else "--any-source"
    must(machine, f"port add 7000 {words} {rest}")
    assert [key.family for key in machine.spaces[ROOT].ports] == [6]


def test_any_source_warns_in_one_line(machine: Machine) -> None:
    result = must(machine, "port add 7000 --any-source")
    assert len(result.err.splitlines()) == 1
    assert "CVE-2024-7596" in result.err


def test_add_is_idempotent_also_with_tunnels_on_it(machine: Machine) -> None:
    line = "port add 6080 --from 10.0.0.0/8"
    must(machine, line)
    must(machine, "tunnel add west --remote 198.51.100.7")
    assert must(machine, line).out == "port 6080/udp: unchanged\n"
    assert must(machine, f"{line} --check").status == 0


def test_the_hint_of_a_conflict_mends_it(machine: Machine) -> None:
    must(machine, "port add 7000 --from 10.0.0.0/8 --accept gue0")
    line = "port add 7000 --from 192.0.2.0/24 --inner 4 --accept bare"
    conflict = must(machine, line, 3)
    must(machine, conflict.err.partition("hint: gutctl ")[2])
    assert must(machine, line).out == "port 7000/udp: unchanged\n"


def test_set_changes_only_what_is_given(machine: Machine) -> None:
    must(machine, "port add 7000 --from 10.0.0.0/8 --inner 4")
    must(machine, "port set 7000 --add-from 192.0.2.0/24 --del-from 172.16.0.0/12")
    (port,) = machine.spaces[ROOT].ports.values()
    assert (sorted(map(str, port.sources)), port.inner) == (["10.0.0.0/8", "192.0.2.0/24"], frozenset({4}))
    assert must(machine, "port set 7000 --add-from 192.0.2.0/24").out == "port 7000/udp: unchanged\n"
    assert must(machine, "port set 7000 --del-from 10.0.0.0/8 --check", 8).out.startswith(
        "port 7000/udp: would be changed"
    )
    must(machine, "port set 7000 --any-source")
    must(machine, "port set 7000 --from 10.0.0.0/8")
    (port,) = machine.spaces[ROOT].ports.values()
    assert (sorted(map(str, port.sources)), port.any_source) == (["10.0.0.0/8"], False)


def test_taking_a_tunnels_prefix_is_told(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 198.51.100.7")
    result = must(machine, "port set 6080 --from 10.0.0.0/8")
    assert "tunnel west needed 198.51.100.7 on it" in result.err


def test_list_and_stats_name_each_drop(machine: Machine) -> None:
    must(machine, "port add 7000 --from 10.0.0.0/8")
    ports = machine.spaces[ROOT].ports
    (key,) = ports
    ports[key] = replace(ports[key], stats=Stats(12, 3400, {"source": 2, "truncated": 0, "nesting": 1}))
    assert "12 / 3.4k" in must(machine, "port list").out
    assert "3 (source 2, nesting 1)" in must(machine, "port list").out
    text = must(machine, "stats").out
    assert "dropped  2 source" in text and "dropped  1 nesting" in text and "truncated" not in text
    record = must(machine, "stats --json").record
    assert record["ports"][0]["stats"]["drops"] == {"source": 2, "truncated": 0, "nesting": 1}
    assert record["module"]["version"] == "0.1.0" and record["plain"]["packets"] == 0


def test_delete(machine: Machine) -> None:
    must(machine, "port add 7000 --any-source")
    assert must(machine, "port del 7000").out == "port 7000/udp: deleted\n"
    assert must(machine, "port del 7000").out == "port 7000/udp: absent\n"


def test_profile(machine: Machine) -> None:
    assert must(machine, "profile add --format gue --sport 50000-50010").out == (
        "profile 1: format gue, csum full, sport 50000-50010\n"
    )
    assert must(machine, "profile add --format gue --sport 50000-50010").out == "profile 1: unchanged\n"
    assert must(machine, "profile add 1 --format gue --sport 50000-50010").out == "profile 1: unchanged\n"
    assert must(machine, "profile add 7 --format fou").out.startswith("profile 7: ")
    conflict = must(machine, "profile add 7 --format gue --csum zero", 3)
    must(machine, conflict.err.partition("hint: gutctl ")[2])
    assert must(machine, "profile add 7 --format gue --csum zero").out == "profile 7: unchanged\n"
    assert [p["number"] for p in must(machine, "profile list --json").record["profiles"]] == [1, 7]
    assert must(machine, "profile set 7 --csum zero").out == "profile 7: unchanged\n"
    must(machine, "profile del 1")
    assert must(machine, "profile del 1").out == "profile 1: absent\n"


@pytest.mark.parametrize("line", [
    "port add 7000 --any-source", "port add 6080 --from 192.0.2.0/24", "port set 6080 --any-source",
    "port del 6080 --force", "profile add --format fou", "profile set 1 --csum zero", "profile del 1 --force",
])  # fmt: skip
def test_failing_changes_nothing(line: str) -> None:
    machine = Machine()
    must(machine, "tunnel add west --remote 198.51.100.7 --sport 50000-50001")
    before = machine.snapshot()
    must(machine, line + " --check", 8)
    assert machine.snapshot() == before
    machine.fail_at = 0
    must(machine, line, 1)
    assert machine.snapshot() == before
    must(machine, line)
    assert machine.snapshot() != before


def test_remote_checksums_partial_or_not(machine: Machine) -> None:
    line = "port add 7000 --from 10.0.0.0/8"
    must(machine, line)
    assert "left partial" in must(machine, "port show 7000").out
    conflict = must(machine, f"{line} --remcsum-nopartial", 3)
    assert "remcsum-nopartial no (asked: yes)" in conflict.err
    must(machine, conflict.err.partition("hint: gutctl ")[2])
    (port,) = machine.spaces[ROOT].ports.values()
    assert port.remcsum_nopartial
    assert "written at once" in must(machine, "port show 7000").out
    assert must(machine, "port show 7000 --json").record["port"]["remcsum_nopartial"] is True
    must(machine, "port set 7000 --no-remcsum-nopartial")
    assert must(machine, line).out == "port 7000/udp: unchanged\n"


@pytest.mark.parametrize(
    ("words", "first"),
    [("--format gue --csum remote", 513), ("--format gutless --csum remote", 513),
     ("--format gue --csum remote-draft", 257)],
)  # fmt: skip
def test_the_number_of_a_profile_tells_its_words(machine: Machine, words: str, first: int) -> None:
    assert must(machine, f"profile add {words}").out.startswith(f"profile {first}: ")
    assert must(machine, f"profile add {words}").out == f"profile {first}: unchanged\n"
    must(machine, f"profile add {first + 4} {words}")
    refused = must(machine, f"profile add 4 {words}", 2)
    assert f"profiles are numbered {first} to {first + 254}" in refused.err
    assert sorted(machine.spaces[ROOT].profiles) == [first, first + 4]


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("profile add --format fou --csum remote", 2, "FOU has no header"),
        ("profile add --format fou --csum remote-draft", 2, "the GUE draft's form"),
        ("profile add --format gutless --csum remote-draft", 2, "--csum remote or --format gue"),
        ("profile add 256 --format gue --csum remote-draft", 2, "cannot be 0"),
        ("profile set 1 --csum remote", 3, "room for 0 octets of options; this takes 8"),
        ("profile set 257 --csum remote", 3, "room for 4 octets of options; this takes 8"),
        ("profile set 513 --format fou", 2, "FOU has no header"),
        ("profile set 1 --format gutless --csum remote-draft", 2, "the GUE draft's form"),
        ("port add 7000 --accept fou:4 --any-source --remcsum-nopartial", 2, "FOU has no header"),
    ],
)  # fmt: skip
def test_what_no_remote_checksum_can_be(machine: Machine, line: str, status: int, text: str) -> None:
    must(machine, "profile add 1 --format gue")
    must(machine, "profile add 257 --format gue --csum remote-draft")
    must(machine, "profile add 513 --format gue --csum remote")
    before = machine.snapshot()
    assert text in must(machine, line, status).err
    assert machine.snapshot() == before


def test_a_module_without_remote_checksums(machine: Machine) -> None:
    must(machine, "profile add 1 --format gue")
    machine.features = frozenset({"ipv6"})
    assert "knows no --csum remote" in must(machine, "profile add --format gue --csum remote", 7).err
    must(machine, "profile set 1 --csum zero")


def test_what_was_offloaded_and_told_is_counted(machine: Machine) -> None:
    must(machine, "port add 7000 --any-source")
    must(machine, "profile add 1 --format gue")
    space = machine.spaces[ROOT]
    (key,) = space.ports
    quiet = must(machine, "stats").out
    assert "of them" not in quiet and "told of" not in quiet
    space.ports[key] = replace(space.ports[key], stats=Stats(12, 3400, offloaded=9))
    space.profiles[1] = replace(space.profiles[1], stats=Stats(40, 900, offloaded=33, icmp_errors=2))
    text = must(machine, "stats").out
    assert "of them  9 merged" in text and "of them  33 unsegmented" in text and "told of  2 ICMP errors" in text
    record = must(machine, "stats --json").record
    assert record["ports"][0]["stats"]["offloaded"] == 9
    assert record["profiles"][0]["stats"]["offloaded"] == 33
    assert record["profiles"][0]["stats"]["icmp_errors"] == 2
    shown = must(machine, "profile show 1").out.splitlines()
    assert [line.split("  ")[-1].strip() for line in shown if line.startswith(("unsegmented", "ICMP"))] == ["33 packets", "2"]
