# SPDX-License-Identifier: Apache-2.0
"""gutctl onpath: what it does, says and refuses."""

from __future__ import annotations

import pytest
from cli_runner import gutctl, must
from fake_kernel import ROOT, Machine

from gutctl.errors import GutctlError
from gutctl.model import OnPath


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_on_and_off(machine: Machine) -> None:
    assert must(machine, "onpath set eth0 --min-path-mtu on").out == "device eth0: min-path-mtu on, port 6080\n"
    assert machine.spaces[ROOT].onpaths == {2: OnPath(2, True, (6080,))}
    assert must(machine, "onpath set eth0 --min-path-mtu on").out == "device eth0: unchanged\n"
    assert must(machine, "onpath set eth0 --min-path-mtu on --port 7000 --port 6080").out == (
        "device eth0: min-path-mtu on, port 7000,6080\n"
    )
    machine.requests.clear()
    # the order of ports means nothing, and those not given stay
    for line in ("--port 6080 --port 7000", ""):
        assert must(machine, f"onpath set eth0 --min-path-mtu on {line}").out == "device eth0: unchanged\n"
    assert machine.requests == []
    assert must(machine, "onpath set eth0 --min-path-mtu off").out == "device eth0: min-path-mtu off\n"
    assert machine.spaces[ROOT].onpaths == {}
    assert must(machine, "onpath set eth0 --min-path-mtu off").out == "device eth0: unchanged\n"


def test_check_and_diff(machine: Machine) -> None:
    result = must(machine, "onpath set eth0 --min-path-mtu on --port 7000 --check --diff", status=8)
    assert result.out.splitlines() == [
        "~ eth0  min-path-mtu off -> on",
        "~ eth0  port none -> 7000",
        "device eth0: would be changed",
    ]
    assert machine.requests == []
    answer = must(machine, "onpath set eth0 --min-path-mtu on --check --json", status=8).record
    assert (answer["result"], answer["pending"]) == ("changed", True)
    assert answer["steps"] == ["change device eth0: min-path-mtu on, port 6080"]
    assert answer["onpath"]["ports"] == [6080]
    must(machine, "onpath set eth0 --min-path-mtu on")
    assert must(machine, "onpath set eth0 --min-path-mtu on --check").status == 0
    diff = must(machine, "onpath set eth0 --min-path-mtu off --diff").out.splitlines()
    assert diff[:2] == ["~ eth0  min-path-mtu on -> off", "~ eth0  port 6080 -> none"]


def test_show_and_list(machine: Machine) -> None:
    assert must(machine, "onpath list").out.splitlines() == ["DEVICE  MIN-PATH-MTU  PORTS  SEEN  LOWERED  LEFT"]
    assert must(machine, "onpath list --json").record == {"schema": 1, "onpath": []}
    assert must(machine, "onpath show eth0").out.splitlines()[1:3] == ["min-path-mtu  off", "ports         -"]
    must(machine, "onpath set eth0 --min-path-mtu on --port 6080 --port 7000")
    assert must(machine, "onpath show eth0").out.splitlines() == [
        "device        eth0",
        "min-path-mtu  on",
        "ports         6080,7000",
        "seen          5 packets",
        "lowered       2 packets",
        "left          no-check 3",
    ]
    assert must(machine, "onpath list").out.splitlines()[1] == "eth0    on            6080,7000  5     2        no-check 3"
    record = must(machine, "onpath show eth0 --json").record["onpath"]
    assert record == must(machine, "onpath list --json").record["onpath"][0]
    assert record == {
        "device": "eth0",
        "ifindex": 2,
        "min_path_mtu": True,
        "ports": [6080, 7000],
        "stats": {"seen": 5, "lowered": 2, "left": {"enough": 0, "no-check": 3, "fragment": 0}},
    }


def test_stats(machine: Machine) -> None:
    must(machine, "onpath set eth0 --min-path-mtu on")
    assert must(machine, "stats").out.splitlines()[-4:] == [
        "device eth0 on the path",
        "  seen  5 packets",
        "  lowered  2",
        "  left  3 no-check",
    ]
    assert [one["device"] for one in must(machine, "stats --json").record["onpath"]] == ["eth0"]


REFUSED = {
    "onpath set eth0": (2, "--min-path-mtu"),
    "onpath set eth0 --min-path-mtu maybe": (2, "maybe"),
    "onpath set nowhere0 --min-path-mtu on": (5, "nowhere0"),
    "onpath show nowhere0": (5, "nowhere0"),
    "onpath set eth0 --min-path-mtu off --port 6080": (2, "looks at no port"),
    "onpath set eth0 --min-path-mtu on --port 0": (2, "ports are numbered 1 to 65535"),
    "onpath set eth0 --min-path-mtu on --port 65536": (2, "ports are numbered 1 to 65535"),
    "onpath set eth0 --min-path-mtu on --port 7 --port 7": (2, "the same port is given twice"),
    "onpath set a/b --min-path-mtu on": (2, "a/b"),
    "onpath set eth0 --min-path-mtu on " + " ".join(f"--port {n}" for n in range(1, 10)): (2, "8 at most"),
    "onpath list --module fou": (2, "in-tree module fou has no devices on the path"),
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused(machine: Machine, line: str) -> None:
    status, word = REFUSED[line]
    result = must(machine, line, status)
    assert word in result.err
    assert machine.requests == []


@pytest.mark.parametrize("line", ["set eth0 --min-path-mtu on", "show eth0", "list"])
def test_a_module_without_it(machine: Machine, line: str) -> None:
    machine.features -= {"onpath"}
    result = gutctl(machine, f"onpath {line}")
    assert result.status == 7 and "does nothing on the path" in result.err
    assert must(machine, "stats --json").record["onpath"] == []


def test_a_failure_changes_nothing(machine: Machine) -> None:
    must(machine, "onpath set eth0 --min-path-mtu on --port 7")
    before = machine.snapshot()
    machine.fail_at = 0
    machine.failure = lambda: GutctlError("injected")
    must(machine, "onpath set eth0 --min-path-mtu off", 1)
    assert machine.snapshot() == before
