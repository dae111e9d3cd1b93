# SPDX-License-Identifier: Apache-2.0
"""The tool's own work grows no faster than what there is: counted, not timed.

Machines with 125, 250 and 500 tunnels, as many ports (and their peers among the sources of one), a profile for
every four; each command runs on all three. A second difference of zero is linear growth; the square would be a
ratio of 4 where 2 is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from cli_runner import gutctl
from effort import CountedMachine, Effort, effort
from fake_kernel import NO_DROPS, ROOT

from gutctl.alias import Alias
from gutctl.model import Accept, Csum, Format, Link, Origin, Port, PortKey, Profile, Stats

SIZES = (125, 250, 500)
FIRST_PEER = int(IPv4Address("198.18.0.1"))
DUMPS = {"links", "ports", "profiles", "local_addresses"}
"""Requests whose answer grows with what there is."""


def peer(number: int) -> IPv4Address:
    return IPv4Address(FIRST_PEER + number)


def link(number: int, port: int, *, fixed: bool, local: bool) -> Link:
    """Tunnel number so-and-so as it stands in the kernel."""
    remote = peer(number)
    return Link(
        name=f"t{number}",
        kind="sit",
        local=IPv4Address("203.0.113.5") if local else None,
        remote=remote,
        encap_type=4,
        encap_flags=1 if number % 2 else (number // 4 % 200 + 1) << 3,
        encap_sport=port if fixed else 0,
        encap_dport=6080,
        ttl=64,
        mtu=1472,
        up=True,
        alias="" if fixed else Alias(port, frozenset({IPv4Network(remote)})).encode(),
        addresses=(f"10.{number >> 8}.{number & 255}.1/32",),
        ifindex=100 + number,
    )


def machine_of(size: int, *, shared: bool = False, fixed: bool = False, local: bool = True) -> CountedMachine:
    """So many tunnels and ports. ``shared``: all tunnels receive on one; ``fixed``: by their source port, without alias."""
    machine = CountedMachine()
    space = machine.spaces[ROOT]
    for number in range(size):
        space.links[f"t{number}"] = link(number, 6080 if shared else 20000 + number, fixed=fixed, local=local)
        key = PortKey(4, 20000 + number)
        only = frozenset({IPv4Network(peer(number))})
        space.ports[key] = Port(
            key, frozenset({Accept.GUE0, Accept.BARE, Accept.GUTLESS}), sources=only,
            origin=Origin.TUNNEL, stats=Stats(drops=dict(NO_DROPS)),
        )  # fmt: skip
    if shared:
        key = PortKey(4, 6080)
        everyone = frozenset(IPv4Network(peer(number)) for number in range(size))
        space.ports[key] = replace(space.ports[PortKey(4, 20000)], key=key, sources=everyone)
    for number in range(1, min(size // 2, 250) + 1):
        space.profiles[number] = Profile(number, Format.GUTLESS, Csum.FULL, (50000, 50000 + number))
    return machine


LISTS = (
    "tunnel list", "tunnel list --json", "tunnel list --stats", "port list", "port list --json",
    "profile list", "stats --json", "doctor",
)  # fmt: skip
CHANGES = (
    "tunnel add new --remote 198.51.100.7",
    "tunnel add new --remote 198.51.100.7 --sport 51000-51003",
    "tunnel add t7 --remote 198.18.0.8 --local 203.0.113.5 --port 20007 --peer-port 6080",
    "tunnel set t7 --remote 198.51.100.7",
    "tunnel set t7 --port 20008",
    "tunnel del t7",
    "tunnel del t8",
    "tunnel show t7",
    "port add 7000 --any-source",
    "port add 20007 --from 198.18.0.8",
    "port set 20007 --add-from 10.0.0.0/8",
    "port del 20007",
    "port del 20007 --force",
    "port show 20007",
    "profile add --format gue",
    "profile set 7 --csum zero",
    "profile del 7 --force",
)


def measured(line: str, make: Callable[[int], CountedMachine], allowed: tuple[int, ...] = (0, 3, 4)) -> list[Effort]:
    """What a command takes on each machine; it must end the same way on all."""
    found = []
    statuses = set()
    for size in SIZES:
        machine = make(size)

        def once(machine: CountedMachine = machine) -> None:
            statuses.add(gutctl(machine, line).status)

        found.append(effort(machine, once))
    assert len(statuses) == 1
    assert statuses <= set(allowed), f"{line}: exit status {statuses}"
    return found


def assert_linear(line: str, found: list[Effort]) -> None:
    """Lines: from 250 to 500 no more than twice (and a bit, for sorting) what it is from 125 to 250."""
    small, middle, large = (one.lines for one in found)
    assert large - middle <= 2.5 * max(middle - small, 200), f"{line}: {small}, {middle}, {large} lines"


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """Imports are paid for before anything is counted."""
    for line in LISTS + CHANGES:
        gutctl(machine_of(4), line)


@pytest.mark.parametrize("shape", ["own", "shared", "inferred"])
@pytest.mark.parametrize("line", LISTS)
def test_lists_are_linear(line: str, shape: str) -> None:
    """Lines run; and requests, where a tunnel without a local address costs a look at its route."""
    found = measured(line, lambda size: machine_of(size, shared=shape == "shared", fixed=shape == "inferred"), (0, 1, 7))
    assert_linear(line, found)
    small, middle, large = (sum(one.requests.values()) for one in found)
    assert large - middle <= 2 * (middle - small)
    for one in found:
        # of all modules together
        assert max(one.requests[name] for name in DUMPS) <= 4, f"{line}: {one.requests}"


@pytest.mark.parametrize("shape", ["own", "shared", "inferred"])
@pytest.mark.parametrize("line", CHANGES)
def test_changes_are_linear(line: str, shape: str) -> None:
    """Lines run grow as the dumps that are read; the number of requests does not grow."""
    found = measured(line, lambda size: machine_of(size, shared=shape == "shared", fixed=shape == "inferred"))
    assert_linear(line, found)
    assert found[0].requests == found[1].requests == found[2].requests, line
    assert max(found[0].requests[name] for name in DUMPS) <= 6, f"{line}: {found[0].requests}"


def test_routes_are_asked_once_a_tunnel() -> None:
    found = measured("tunnel list", lambda size: machine_of(size, local=False))
    assert [one.requests["route_mtu"] for one in found] == list(SIZES)


@pytest.mark.parametrize("line", ["tunnel list", "tunnel add new --remote 198.51.100.7 --port 20003", "tunnel del t7"])
def test_moved_devices(line: str) -> None:
    """Devices that send from another namespace: it is looked for once, not once a device."""

    def make(size: int) -> CountedMachine:
        machine = machine_of(size)
        root, blue = machine.spaces[ROOT], machine.spaces["blue"]
        blue.links = {name: replace(one, link_netnsid=0) for name, one in root.links.items()}
        root.links = {}
        return machine

    found = measured(f"-n blue {line}" if line != CHANGES[0] else line, make)
    assert_linear(line, found)
    assert found[0].requests == found[2].requests, f"{line}: {found[0].requests}, {found[2].requests}"


def test_what_is_counted_is_what_grows() -> None:
    """The count itself: a comprehension inside a loop is seen to grow with the square."""
    machine = CountedMachine()

    def square(size: int) -> int:
        return effort(machine, lambda: [sum([other for other in range(size)]) for _ in range(size)]).lines

    small, middle, large = map(square, SIZES)
    assert large - middle > 3.5 * (middle - small)
