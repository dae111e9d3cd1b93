# SPDX-License-Identifier: Apache-2.0
"""Two machines and a wire: tunnels of every format over IPv4 and IPv6, by nothing but `gutctl tunnel add` on both.

      west                                         east
  +----------------------+                     +----------------------+
  | gutless4  10.9.1.1   |                     | gutless4  10.9.1.2   |
  | gue6      fd09:4::1  |                     | gue6      fd09:4::2  |
  |  ...                 |   eth1       eth1   |  ...                 |
  |  192.0.2.1, .11, .21 |---------------------|  192.0.2.2, .12, .22 |
  |  2001:db8::1, ...    |         wan         |  2001:db8::2, ...    |
  +----------------------+                     +----------------------+

Machines are slow and programs in them dear: what passes through all the tunnels passes in one go, and the tests look at
what came of it, tunnel by tunnel.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from machines import Machines
from site_tunnels import CASES, NAMES, Case, play

OCTETS = 400_000
LONG = 900
"""Seconds that a script may take: ten times what it takes on two quiet cores without KVM."""
TRANSFER = Path(__file__).with_name("transfer.py")

Records = dict[str, dict[str, Any]]
by_name = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@dataclass
class Passed:
    """What went through the tunnels."""

    after: dict[str, Records] = field(default_factory=dict)
    """By machine, and name of the tunnel."""
    pings: dict[tuple[str, str], str] = field(default_factory=dict)
    """What ping said, by machine and address."""
    sent: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By address: octets and their hash."""
    received: dict[str, tuple[int, str]] = field(default_factory=dict)


def tunnels(pair: Machines) -> dict[str, Records]:
    """What `gutctl tunnel list --json` says in each machine, by name."""
    said = pair.run_all({name: "gutctl tunnel list --stats --json" for name in NAMES}, seconds=LONG)
    return {name: {record["name"]: record for record in json.loads(text)["tunnels"]} for name, text in said.items()}


def transfer(pair: Machines, sender: str, addresses: list[str]) -> tuple[dict[str, tuple[int, str]], ...]:
    """Send octets to every address over TCP; what the sender and the receiver say of them."""
    receiver = NAMES[1 - NAMES.index(sender)]
    for name in NAMES:
        pair.put(name, TRANSFER, "/tmp/transfer.py")
    words = " ".join(addresses)
    said = pair.run_all(
        {
            receiver: f"python3 /tmp/transfer.py receive {words}",
            sender: f"python3 /tmp/transfer.py send {OCTETS} {words}",
        },
        seconds=LONG,
    )
    made = []
    for name in (sender, receiver):
        lines = [line.split() for line in said[name].splitlines()]
        made.append({address: (int(octets), digest) for address, octets, digest in lines})
    return tuple(made)


@pytest.fixture(scope="session")
def first(pair: Machines) -> dict[str, str]:
    """What the script said when it ran for the first time, by machine."""
    return pair.run_all({name: play(name) for name in NAMES}, seconds=LONG)


@pytest.fixture(scope="session")
def passed(pair: Machines, first: dict[str, str]) -> Passed:
    """Pings in both directions and a TCP transfer through every tunnel."""
    made = Passed()
    scripts = {}
    for name, other in (NAMES, NAMES[::-1]):
        words = " ".join(address for case in CASES for address in case.inside(other))
        scripts[name] = f"for a in {words}; do echo \"== $a\"; ping -n -c 1 -W 30 $a 2>&1 || true; done"
    for name, said in pair.run_all(scripts, seconds=300).items():
        for part in said.split("== ")[1:]:
            address, _, rest = part.partition("\n")
            made.pings[name, address] = rest
    made.sent, made.received = transfer(pair, "west", [case.inside("east")[-1] for case in CASES])
    made.after = tunnels(pair)
    return made


@by_name
def test_the_first_run_makes_it_on_both(first: dict[str, str], case: Case) -> None:
    for name in NAMES:
        assert f"{case.name} changed" in first[name].splitlines()


@by_name
def test_it_is_what_was_asked_for(passed: Passed, case: Case) -> None:
    for name in NAMES:
        record = passed.after[name][case.name]
        other = NAMES[1 - NAMES.index(name)]
        assert (record["format"], record["up"], record["module"]) == (case.form, True, "gutless")
        assert (record["local"], record["remote"]) == (case.outer(name), case.outer(other))
        assert {address.partition("/")[0] for address in record["addresses"]} == set(case.inside(name))
        assert record["notes"] == []


@by_name
def test_ping_both_ways(passed: Passed, case: Case) -> None:
    for name, other in (NAMES, NAMES[::-1]):
        for address in case.inside(other):
            said = passed.pings[name, address]
            assert "1 received, 0% packet loss" in said, f"{name} to {address}\n{said}"


@by_name
def test_tcp_arrives_whole(passed: Passed, case: Case) -> None:
    address = case.inside("east")[-1]
    assert passed.sent[address][0] == OCTETS
    assert passed.received[address] == passed.sent[address]


@by_name
def test_counters_moved_and_nothing_was_dropped(passed: Passed, case: Case) -> None:
    counted = {name: passed.after[name][case.name]["stats"] for name in NAMES}
    pings = len(case.inner)
    assert counted["west"]["tx_octets"] > OCTETS
    assert counted["east"]["rx_octets"] > OCTETS
    for name in NAMES:
        # a request or an answer of each ping, in each direction
        assert counted[name]["tx_packets"] > 2 * pings
        assert counted[name]["rx_packets"] > 2 * pings
        assert counted[name]["tx_dropped"] == 0
        # before the other end let it in, a new device's first words came from a source that was not allowed
        drops = {why: count for why, count in passed.after[name][case.name]["port_drops"].items() if count}
        assert set(drops) <= {"source"}, drops


def test_checksums_and_segments_made_by_the_kernel(pair: Machines, passed: Passed) -> None:
    """A virtual card passes on what was never summed nor cut; without its offloads the wire has real packets."""
    # what comes in is then complete too: the card's other end sends it so
    off = "ethtool -K eth1 tx off gso off tso off gro off >/dev/null; ethtool -k eth1 | grep '^tx-checksumming'"
    for name, said in pair.run_all({name: off for name in NAMES}).items():
        assert said == "tx-checksumming: off\n", f"{name}: {said}"
    sent, received = transfer(pair, "east", [case.inside("west")[0] for case in CASES])
    assert len(sent) == len(CASES)
    assert received == sent


def test_again_changes_nothing(pair: Machines, passed: Passed) -> None:
    some = CASES[1:4:2]
    again = pair.run_all({name: play(name, some) for name in NAMES}, seconds=LONG)
    for name in NAMES:
        assert again[name].split("\n") == [*(f"{case.name} unchanged" for case in some), "changes 0", ""]


def test_a_machine_that_was_booted_anew_needs_the_same_words_only(pair: Machines, passed: Passed) -> None:
    some = CASES[:2]
    pair.reboot("west")
    assert pair.run("west", "ip -br link | grep -c gutless || true") == "0\n"
    again = pair.run("west", play("west", some), seconds=LONG)
    assert again.split("\n") == [*(f"{case.name} changed" for case in some), "changes 2", ""]
    sent, received = transfer(pair, "west", [address for case in some for address in case.inside("east")])
    assert len(sent) == 4
    assert received == sent
