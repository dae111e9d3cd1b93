# SPDX-License-Identifier: Apache-2.0
"""Every refusal: its exit status, what and where, how to mend it; and it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from cli_runner import gutctl, must
from fake_kernel import ROOT, Machine

from gutctl.errors import GutctlError, NotPermittedError
from gutctl.model import Link

USAGE = [
    ("tunnel add west --remote 224.0.0.1", "multicast", None),
    ("tunnel add west --remote ff02::1", "multicast", None),
    ("tunnel add west --remote 0.0.0.0", "unspecified", None),
    ("tunnel add west --remote 255.255.255.255", "broadcast", None),
    ("tunnel add west --remote fe80::1%eth0", "zone", "global address"),
    ("tunnel add west --remote fe80::1", "link-local", "global address"),
    ("tunnel add west --remote ::ffff:198.51.100.7", "IPv4-mapped", "198.51.100.7"),
    ("tunnel add west --remote host.example", "neither an IPv4 nor an IPv6 address", None),
    ("tunnel add west --remote 198.51.100.7/24", "without a prefix length", None),
    ("tunnel add west --remote 198.51.100.7 --local 2001:db8::5", "local 2001:db8::5 is IPv6", "IPv4 address as --local"),
    ("tunnel add west --remote 198.51.100.7 --local 198.51.100.7", "the same address", None),
    ("tunnel add a-name-longer-than-15 --remote 198.51.100.7", "longer than 15", None),
    ("tunnel add a/b --remote 198.51.100.7", "slash", None),
    ("tunnel add .. --remote 198.51.100.7", "name", None),
    ("tunnel add west --remote 198.51.100.7 --port 0", "1 to 65535", None),
    ("tunnel add west --remote 198.51.100.7 --port 65536", "1 to 65535", None),
    ("tunnel add west --remote 198.51.100.7 --port x", "not a port number", None),
    ("tunnel add west --remote 198.51.100.7 --sport 5-4", "ends before it begins", "--sport 4-5"),
    ("tunnel add west --remote 198.51.100.7 --sport 1-70000", "1 to 65535", None),
    ("tunnel add west --remote 198.51.100.7 --from 198.51.100.7/24", "bits set behind the prefix", "198.51.100.0/24"),
    ("tunnel add west --remote 198.51.100.7 --from 2001:db8::/32", "outer packets are IPv4", None),
    ("tunnel add west --remote 198.51.100.7 --from 10.0.0.0/8 --any-source", "everybody or these", None),
    ("tunnel add west --remote 198.51.100.7 --no-port --port 7", "opens no port", None),
    ("tunnel add west --remote 198.51.100.7 --no-port --any-source", "opens no port", None),
    ("tunnel add west --remote 198.51.100.7 --mode gre --inner ipv4", "GRE says what is inside", "leave --inner out"),
    ("tunnel add west --remote 198.51.100.7 --key 7", "no GRE header to put it into", "--mode gre or --mode eth"),
    ("tunnel add west --remote 198.51.100.7 --mode gre --key 4294967296", "a number from 0", "A.B.C.D"),
    ("tunnel add west --remote 198.51.100.7 --mode gre --key 1.2.3", "a number from 0", "A.B.C.D"),
    ("tunnel add west --remote 2001:db8::7 --mode gre --key 0", "takes key 0 for none", "another number"),
    ("tunnel add west --remote 198.51.100.7 --mode gre --link-kind sit", "link of mode ip, and mode gre", "--link-kind gre"),
    ("tunnel add west --remote 198.51.100.7 --link-kind ip6gretap", "sends IPv6 packets", "--link-kind gretap"),
    ("tunnel add west --remote 2001:db8::7 --link-kind ipip", "sends IPv4 packets", "--link-kind ip6tnl"),
    ("tunnel add west --remote 198.51.100.7 --link-kind ipip --inner ipv6", "carries no IPv6", "--link-kind sit"),
    ("tunnel add west --remote 198.51.100.7 --csum remote --format fou", "FOU has no header", "--format gue"),
    ("tunnel add west --remote 198.51.100.7 --csum remote-draft", "the GUE draft's form", "--csum remote or --format gue"),
    ("tunnel add west --remote 198.51.100.7 --no-pmtudisc", "on a sit link with a TTL of its own", "--ttl inherit, or --mode gre"),
    ("tunnel add west --remote 2001:db8::7 --no-pmtudisc", "IPv6 has no DF", "leave it out"),
    ("tunnel add west --remote 198.51.100.7 --format fou --inner any", "does not say what is inside", "--inner ipv4"),
    ("tunnel add west --remote 198.51.100.7 --mtu 1000", "less than 1280", "1280"),
    ("tunnel add west --remote 198.51.100.7 --mtu 65535", "more than", None),
    ("tunnel add west --remote 198.51.100.7 --mtu 12", "--mtu 12", None),
    ("tunnel add west --remote 198.51.100.7 --ttl 0", "1 to 255", None),
    ("tunnel add west --remote 198.51.100.7 --tos 1", "inherit", None),
    ("tunnel add west --remote 198.51.100.7 --address 10.9.0.1/33", "for example", None),
    ("tunnel add west --remote 198.51.100.7 --address 224.0.0.1/4", "no device can have", None),
    ("tunnel set west", "nothing to change", "--help"),
    ("port add 7777", "who may send to port 7777? Give --from PREFIX, or --any-source", None),
    ("port add 7777 --from 10.0.0.0/8 --from 2001:db8::/32", "two ports", None),
    ("port add 7777 -6 --from 10.0.0.0/8", "not of one family", "two ports"),
    ("port add 7777 --accept fou --any-source", "must", "fou:ipv4"),
    ("port add 7777 --accept fou:4,gue0 --any-source", "nothing else", None),
    ("port add 7777 --accept vxlan --any-source", "fou:PROTO, gue0, bare or gutless", None),
    ("port add 7777 --inner 0 --any-source", "1 to 255", None),
    ("port add 7777 --accept fou:4 --inner 41 --any-source", "is its inner one", None),
    ("port add 7777 --dev eth0 --any-source", "wants a local address", "--local"),
    ("port add 7777 --zero-csum6 --any-source", "always accepted", None),
    ("port set 7777", "nothing to change", None),
    ("port set 7777 --from 10.0.0.0/8 --add-from 10.1.0.0/16", "replaces all", None),
    ("profile add 0 --format gue", "1 to 8191", None),
    ("profile set 1", "nothing to change", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message", "hint"), USAGE, ids=[line for line, _, _ in USAGE])
def test_usage(line: str, message: str, hint: str | None) -> None:
    machine = Machine()
    before = machine.snapshot()
    result = gutctl(machine, line)
    assert result.status == 2, result
    assert result.out == ""
    assert message in result.err, result.err
    if hint is not None:
        assert hint in result.err.partition("hint: ")[2], result.err
    assert machine.snapshot() == before
    assert machine.requests == []


def taken(machine: Machine) -> None:
    machine.spaces[ROOT].links["west"] = Link("west", "dummy", None, None, 0, 0, 0, 0)


def foreign(machine: Machine) -> None:
    machine.spaces[ROOT].owners[4, 6080] = "systemd-resolve, pid 512"


def unrouted(machine: Machine) -> None:
    machine.spaces[ROOT].routed = False


def unloaded(machine: Machine) -> None:
    machine.loaded = False


def fou_port(machine: Machine) -> None:
    must(machine, "port add 6080 --accept fou:4 --any-source")


def gue_port(machine: Machine) -> None:
    must(machine, "port add 6080 --accept gue0 --any-source")


def bound_port(machine: Machine) -> None:
    must(machine, "port add 6080 --local 203.0.113.5 --any-source")


def tunnel(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 198.51.100.7 --sport 50000-50001")


def narrow(machine: Machine) -> None:
    machine.spaces[ROOT].path_mtu = 1300


def not_permitted(machine: Machine) -> None:
    machine.fail_at = 0
    machine.failure = lambda: NotPermittedError("port 6080: not permitted", "run as root")


def keyed(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 198.51.100.7 --mode gre --key 7")


def two_gre(machine: Machine) -> None:
    must(machine, "tunnel add west --remote 2001:db8::7 --mode eth")
    must(machine, "tunnel add east --remote 2001:db8::7 --mode gre")


def old_module(machine: Machine) -> None:
    machine.features = frozenset({"ipv6"})



ADD = "tunnel add west --remote 198.51.100.7"
STATES: list[tuple[Callable[[Machine], None], str, int, str, str]] = [
    (taken, ADD, 3, "the name west is taken by a device of kind dummy", "another name"),
    (taken, "tunnel del west", 3, "west is a device of kind dummy, not a tunnel", "ip link show west"),
    (foreign, ADD, 4, "port 6080/udp is in use by another socket (systemd-resolve, pid 512)", "another port"),
    (foreign, "port add 6080 --any-source", 4, "(systemd-resolve, pid 512)", "stop that program"),
    (unrouted, ADD, 5, "no route to 198.51.100.7", "--mtu"),
    (unloaded, ADD, 7, "no gutless", "modprobe gutless"),
    (unloaded, "stats", 7, "no gutless", "modprobe gutless"),
    (
        fou_port,
        "tunnel add west --remote 198.51.100.7 --mode gre --format fou",
        3,
        "port 6080/udp is there and accepts fou:4 (needed: fou:47)",
        "another --port",
    ),
    (gue_port, f"{ADD} --mode eth", 3, "accepts gue0 (needed: gutless)", "gutctl port set 6080 --accept gue0,gutless"),
    (gue_port, f"{ADD} --csum remote", 3, "needed: bare,gutless", "--accept gue0,bare,gutless"),
    (keyed, "tunnel add east --remote 198.51.100.7 --mode gre --key 7", 3, "west is a gre link", "another --local, --key or"),
    (keyed, "tunnel add west --remote 198.51.100.7 --mode gre --key 8", 3, "key 7 (asked: 8)", "tunnel del west"),
    (keyed, "tunnel add west --remote 198.51.100.7 --mode gre", 3, "key 7 (asked: none)", "tunnel del west"),
    (keyed, ADD, 3, "mode gre (asked: ip), key 7 (asked: none)", "tunnel del west"),
    (tunnel, f"{ADD} --link-kind ipip --inner any --sport 50000-50001", 3, "link kind sit (asked: ipip)", "tunnel del west"),
    (keyed, "tunnel set west --key 8", 3, "west has key 7 (asked: 8)", "tunnel del west, then tunnel add"),
    (keyed, "tunnel set west --mode ip", 3, "west has mode gre (asked: ip)", "tunnel del west, then tunnel add"),
    (keyed, "tunnel set west --link-kind gretap", 3, "west has kind gre (asked: gretap)", "tunnel add"),
    (tunnel, "tunnel set west --inner ipv6 --mode gre", 3, "mode ip (asked: gre), inner any (asked: ipv6)", ""),
    (keyed, "tunnel set west --csum remote-draft", 2, "the GUE draft's form", "--format gue"),
    (old_module, f"{ADD} --csum remote", 7, "knows no --csum remote", "newer module"),
    (two_gre, "tunnel set west --ttl 9", 3, "east is a ip6gre link with the same ends", "or delete east"),
    (fou_port, ADD, 3, "port 6080/udp is there and accepts fou:4 (needed: bare)", "another --port"),
    (gue_port, ADD, 3, "accepts gue0 (needed: bare)", "gutctl port set 6080 --accept gue0,bare"),
    (
        bound_port,
        ADD,
        4,
        "port 6080/udp on 203.0.113.5 is there, which port 6080/udp would include",
        "--local 203.0.113.5",
    ),
    (bound_port, "port add 6080 --any-source", 4, "would include", "--local 203.0.113.5"),
    (tunnel, "tunnel add east --remote 198.51.100.7", 3, "west is a sit link with the same ends", "delete west"),
    (tunnel, "tunnel add west --remote 198.51.100.7", 3, "sport 50000-50001 (asked: auto)", "--sport auto"),
    (tunnel, "tunnel add west --remote 2001:db8::7", 3, "remote 198.51.100.7 (asked: 2001:db8::7)", "tunnel del west"),
    (tunnel, "tunnel set west --remote 2001:db8::7", 3, "takes one of kind ip6tnl", "tunnel del west"),
    (tunnel, "port del 6080", 4, "port 6080/udp is what west receives on", "--force"),
    (tunnel, "profile del 1", 4, "profile 1 is what west sends with", "--force"),
    (tunnel, "port add 6080 --from 10.0.0.0/8 --accept gue0", 3, "was opened for tunnels (west) and differs", ""),
    (narrow, ADD, 2, "mtu 1272 is less than 1280", "--mtu 1280"),
    (not_permitted, ADD, 6, "not permitted", "run as root"),
    (tunnel, "-n nowhere tunnel list", 5, "no network namespace nowhere", ""),
    (tunnel, "tunnel show east", 5, "there is no tunnel east", "gutctl tunnel list"),
    (tunnel, "tunnel set east --ttl 3", 5, "there is no tunnel east", "tunnel add"),
    (tunnel, "tunnel del east --must-exist", 5, "there is no tunnel east", ""),
    (tunnel, "port show 7", 5, "there is no port 7/udp", "gutctl port list"),
    (tunnel, "port set 7 --any-source", 5, "there is no port 7/udp", ""),
    (tunnel, "port del 7 --must-exist", 5, "there is no port 7/udp", ""),
    (tunnel, "profile show 7", 5, "there is no profile 7", ""),
    (tunnel, "profile set 7 --csum zero", 5, "there is no profile 7", ""),
    (tunnel, "profile del 7 --must-exist", 5, "there is no profile 7", ""),
    (gue_port, "port set 6080 --no-any-source", 3, "nobody could send to port 6080/udp any more", "leave a prefix"),
    (fou_port, "port set 6080 --accept gue0", 2, "a port stays FOU of its protocol", "port del 6080"),
]


@pytest.mark.parametrize(("prepare", "line", "status", "message", "hint"), STATES)
def test_by_state(prepare: Callable[[Machine], None], line: str, status: int, message: str, hint: str) -> None:
    machine = Machine()
    prepare(machine)
    before = machine.snapshot()
    result = gutctl(machine, line)
    assert result.status == status, result
    assert message in result.err.partition("hint: ")[0], result.err
    assert hint in result.err.partition("hint: ")[2], result.err
    assert machine.snapshot() == before


def test_a_refusal_as_a_record() -> None:
    result = gutctl(Machine(), "tunnel show west --json")
    assert result.record == {
        "schema": 1,
        "error": {"status": 5, "kind": "not_found", "message": "there is no tunnel west", "hint": "gutctl tunnel list"},
    }


def test_too_many_prefixes_for_the_alias() -> None:
    machine = Machine()
    words = " ".join(f"--from 10.{number}.0.0/16" for number in range(40))
    result = gutctl(machine, f"{ADD} {words}")
    assert result.status == 2 and "gutctl port add 6080" in result.err
    assert machine.requests == []


def test_the_unexpected_is_one_sentence() -> None:
    machine = Machine()
    machine.fail_at, machine.failure = 0, lambda: ZeroDivisionError("oh")
    result = gutctl(machine, ADD)
    assert result.status == 1
    assert result.err.startswith("gutctl: this should not happen: ZeroDivisionError: oh\n  hint: please report")


def test_an_undo_that_fails_is_told() -> None:
    machine = Machine()
    count = 0

    def failure() -> GutctlError:
        nonlocal count
        count += 1
        if count == 1:
            machine.fail_at = 0
        return GutctlError(f"failure {count}")

    machine.fail_at, machine.failure = 1, failure
    result = gutctl(machine, ADD)
    assert result.status == 1
    assert "failure 1; and this could not be taken back: open port 6080/udp for 198.51.100.7: failure 2" in result.err


def test_unreachable_sender_is_told() -> None:
    machine = Machine()
    must(machine, f"{ADD} --move-to blue")
    machine.unreachable.add(ROOT)
    assert gutctl(machine, "-n blue tunnel set west --ttl 3").status == 1
    result = must(machine, "-n blue tunnel del west")
    assert "port 6080/udp there may be left" in result.err
    assert machine.spaces["blue"].links == {}
    assert [key.port for key in machine.spaces[ROOT].ports] == [6080]


def test_own_address_as_remote_is_told() -> None:
    result = must(Machine(), "tunnel add west --remote 203.0.113.5")
    assert "203.0.113.5 is an address of this host itself" in result.err


def test_other_local_is_only_a_note() -> None:
    machine = Machine()
    result = must(machine, f"{ADD} --local 203.0.113.9")
    assert "203.0.113.9 is not an address of this host now" in result.err
    link = machine.spaces[ROOT].links["west"]
    assert replace(link, local=None) != link and link.local == IPv4Address("203.0.113.9")
