# SPDX-License-Identifier: Apache-2.0
"""gutctl --module fou on a machine in memory: what is done, what is refused, what is left alone."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from cli_runner import Result, gutctl, must
from fake_kernel import ROOT, Machine

from gutctl.model import ALL_INNER, Accept, Link, Module, Port, PortKey

OPEN = "tunnel add west --remote 198.51.100.7 --module fou --any-source"
OPEN_PORT = Port(
    PortKey(4, 6080), frozenset({Accept.GUE0, Accept.BARE}), inner=ALL_INNER, any_source=True, module=Module.FOU
)
CONNECTED = "tunnel add west --remote 198.51.100.7 --module fou --sport 6080"


def ports(machine: Machine) -> list[Port]:
    return list(machine.spaces[ROOT].fou_ports.values())


def west(machine: Machine) -> Link:
    return machine.spaces[ROOT].links["west"]


def test_a_tunnel_for_everybody() -> None:
    machine = Machine()
    said = must(machine, OPEN + " --address 10.9.0.1/30")
    assert said.out.splitlines() == [
        "west: 203.0.113.5:6080 -> 198.51.100.7:6080, format gue, csum full, module fou, mtu 1468, up",
        "  port 6080/udp accepts gue0 bare from any source",
    ]
    assert "everybody" in said.err
    link = west(machine)
    # the module sums the outer checksum before it knows the route, so the address is pinned
    assert (link.encap_type, link.encap_flags, link.encap_sport, link.encap_dport) == (2, 1, 0, 6080)
    assert link.local == ip_address("203.0.113.5")
    assert link.alias == "gutless port=6080 any opened"
    (port,) = ports(machine)
    assert (port.key, port.any_source, port.module) == (PortKey(4, 6080), True, Module.FOU)
    assert machine.spaces[ROOT].ports == {}
    assert must(machine, OPEN + " --address 10.9.0.1/30").out == "west: unchanged\n"
    must(machine, "tunnel del west")
    assert machine.spaces == Machine().spaces


@pytest.mark.parametrize("remote", ["198.51.100.7", "2001:db8::7"])
def test_a_tunnel_for_one_peer_and_port(remote: str) -> None:
    machine = Machine()
    line = f"tunnel add west --remote {remote} --module fou --sport 6080 --peer-port 6081"
    said = must(machine, line)
    assert f"from {remote} port 6081" in said.out
    assert "the peer has to send from there (--sport 6081)" in said.err
    (port,) = ports(machine)
    assert (port.sources, port.from_port, port.any_source) == (frozenset({ip_network(remote)}), 6081, False)
    assert must(machine, line).out == "west: unchanged\n"
    record = must(machine, "tunnel show west --json").record["tunnel"]
    assert record["source_ports"] == [6080, 6080]
    assert record["receiver"]["from_port"] == 6081 and record["notes"] == []
    must(machine, "tunnel del west")
    assert ports(machine) == []


REFUSED = [
    ("tunnel add west --remote 198.51.100.7 --module fou", 2, "would let everybody in", "--sport 6080 at the peer"),
    (f"{OPEN} --format gutless", 2, "does not send format gutless", "--format gue or fou"),
    (f"{OPEN} --csum remote-draft", 2, "does not send csum remote-draft", "--csum full, zero, remote"),
    (f"{OPEN} --sport 50000-50003", 2, "takes no range of source ports", "--sport auto"),
    (f"{CONNECTED} --from 10.0.0.0/8", 2, "lets in everybody, or the one peer", "--any-source"),
    ("port add 7000 --module fou --from 198.51.100.7", 2, "one address with one source port", "--from-port"),
    ("port add 7000 --module fou --from 10.0.0.0/8 --from-port 7", 2, "one address with one source port", "--from-port"),
    ("port add 7000 --module fou --any-source --from-port 7", 2, "everybody or one", ""),
    ("port add 7000 --module fou --any-source --accept gue0", 2, "both variants", "--accept gue0,bare"),
    ("port add 7000 --module fou --any-source --inner 4", 2, "every inner protocol", "fou:PROTO"),
    ("port add 7000 --from 198.51.100.7 --from-port 7", 2, "tells senders by address", "leave it out"),
    ("port set 7000 --module fou --any-source", 2, "cannot change a port while it runs", "port del 7000"),
    ("profile list --module fou", 2, "has no profiles", "leave out --module"),
    ("stats --module fou", 2, "has no counters", "leave out --module"),
    ("monitor --module fou", 2, "has no events", "leave out --module"),
    ("tunnel add west --remote 198.51.100.7 --module vxlan", 2, "vxlan", ""),
]


@pytest.mark.parametrize(("line", "status", "message", "hint"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused_and_nothing_changed(line: str, status: int, message: str, hint: str) -> None:
    machine = Machine()
    before = machine.snapshot()
    said = gutctl(machine, line)
    assert said.status == status, said
    assert message in said.err and hint in said.err.partition("hint: ")[2], said.err
    assert machine.snapshot() == before and machine.requests == []


def test_format_fou() -> None:
    machine = Machine()
    assert "format fou ipv4" in must(machine, OPEN + " --format fou").out
    assert west(machine).kind == "ipip"
    assert ports(machine)[0].fou_protocol == 4
    must(machine, OPEN.replace("west", "east") + " --format fou --mode gre --port 7000")
    assert ports(machine)[1].fou_protocol == 47
    record = must(machine, "tunnel show east --json").record["tunnel"]
    assert (record["format"], record["mode"], record["receiver"]["accept"]) == ("fou", "gre", ["fou"])


def test_the_modules_are_asked_for_what_is_missing() -> None:
    machine = Machine()
    machine.fou = False
    said = must(machine, OPEN, 7)
    assert "fou is not loaded" in said.err and "modprobe fou" in said.err
    machine.fou, machine.fou6 = True, False
    said = must(machine, "tunnel add west --remote 2001:db8::7 --module fou --any-source", 7)
    assert "hint: modprobe fou6" in said.err
    must(machine, OPEN)
    machine.loaded = False
    assert [t["name"] for t in must(machine, "tunnel list --json").record["tunnels"]] == ["west"]
    assert [p["module"] for p in must(machine, "port list --json").record["ports"]] == ["fou"]
    must(machine, "tunnel set west --ttl 9")
    must(machine, "tunnel del west")
    machine.fou = False
    must(machine, "port list", 7)


def test_one_name_one_module() -> None:
    machine = Machine()
    must(machine, OPEN)
    said = must(machine, "tunnel add west --remote 198.51.100.7", 3)
    assert "west exists and differs: module fou (asked: gutless)" in said.err
    said = must(machine, "tunnel del west --module gutless", 3)
    assert "not a tunnel of gutless" in said.err
    must(machine, "tunnel del west --module fou")


def test_both_modules_side_by_side() -> None:
    machine = Machine()
    must(machine, "tunnel add east --remote 198.51.100.9")
    said = must(machine, OPEN, 4)
    assert "port 6080/udp of the module gutless is there" in said.err
    must(machine, OPEN + " --port 7000")
    lines = must(machine, "tunnel list --stats").out.splitlines()
    assert lines[0].endswith("MODULE") and [line.split()[-1] for line in lines[1:]] == ["gutless", "fou"]
    assert " - " in lines[2]
    lines = must(machine, "port list").out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["gutless", "fou"]
    assert must(machine, "tunnel show west --json").record["tunnel"]["source_ports"] is None
    assert "source ports  auto" in must(machine, "tunnel show west").out
    details = must(machine, "port show 7000").out
    assert "drops            -" in details and "inner            any" in details
    record = must(machine, "port show 7000 --json").record["port"]
    assert (record["stats"], record["origin"], record["inner"], record["module"]) == (None, None, None, "fou")
    must(machine, "port add 7000 --any-source", 4)
    assert must(machine, "tunnel list --module fou").out.count("\n") == 2
    must(machine, "tunnel del east")
    assert must(machine, "port del 7000", 4).err.count("west")


def foreign(machine: Machine) -> None:
    """What somebody made with ip link and ip fou."""
    space = machine.spaces[ROOT]
    for name, remote, port in (("theirs", "198.51.100.7", 5555), ("lonely", "198.51.100.8", 5556)):
        space.links[name] = Link(name, "sit", None, ip_address(remote), 2, 0, 0, port, ttl=64, mtu=1400, up=True)
    must(machine, "port add 5555 --module fou --any-source")


def test_what_others_made_is_shown_when_asked_and_left_alone() -> None:
    machine = Machine()
    foreign(machine)
    before = machine.snapshot()
    assert must(machine, "tunnel list --json").record["tunnels"] == []
    seen = {t["name"]: t for t in must(machine, "tunnel list --json --module fou").record["tunnels"]}
    assert (seen["theirs"]["port"], seen["theirs"]["any_source"], seen["lonely"]["port"]) == (5555, True, None)
    must(machine, "tunnel show theirs")
    must(machine, "tunnel add theirs --remote 198.51.100.9 --module fou --any-source", 3)
    assert machine.snapshot() == before
    must(machine, "tunnel del theirs")
    assert [port.key.port for port in ports(machine)] == [5555]
    must(machine, "tunnel set lonely --ttl 9")
    assert machine.spaces[ROOT].links["lonely"].ttl == 9


def test_a_shared_port_goes_with_the_last_tunnel() -> None:
    machine = Machine()
    must(machine, OPEN)
    must(machine, OPEN.replace("west", "east").replace(".7", ".9"))
    must(machine, "tunnel del west")
    assert len(ports(machine)) == 1
    must(machine, "tunnel set east --port 7000 --peer-port 7000")
    assert [port.key.port for port in ports(machine)] == [7000]
    must(machine, "tunnel del east")
    assert ports(machine) == []


def test_port_add_makes_it_stay() -> None:
    machine = Machine()
    must(machine, OPEN)
    must(machine, "port add 6080 --module fou --any-source")
    assert must(machine, "port add 6080 --module fou --any-source").out == "port 6080/udp: unchanged\n"
    must(machine, "tunnel del west")
    assert len(ports(machine)) == 1
    must(machine, OPEN)
    must(machine, "tunnel del west")
    assert len(ports(machine)) == 1
    must(machine, "port del 6080")
    assert ports(machine) == []


def test_a_connected_port_is_one_tunnel_s() -> None:
    machine = Machine()
    must(machine, CONNECTED)
    said = must(machine, CONNECTED.replace("west", "east").replace(".7", ".9"), 3)
    assert "is connected to 198.51.100.7 port 6080 (asked: 198.51.100.9 port 6080)" in said.err
    assert "take another --port" in said.err
    # from one peer to another, to everybody, and back: closed and opened anew
    must(machine, "tunnel set west --remote 198.51.100.9")
    assert ports(machine)[0].sources == frozenset({ip_network("198.51.100.9")})
    must(machine, "tunnel set west --peer-port 6081")
    assert ports(machine)[0].from_port == 6081
    must(machine, "tunnel set west --peer-port 6080")
    must(machine, "tunnel set west --any-source")
    assert [port.any_source for port in ports(machine)] == [True]
    must(machine, "tunnel set west --no-any-source")
    assert [port.from_port for port in ports(machine)] == [6080]
    must(machine, "tunnel set west --sport auto", 2)
    must(machine, "port show 6080")
    must(machine, "port del 6080 --force")
    assert ports(machine) == []
    must(machine, "tunnel set west --port 6080")
    assert [port.from_port for port in ports(machine)] == [6080]
    must(machine, "tunnel set west --sport auto --any-source")
    must(machine, "tunnel del west")
    assert ports(machine) == []


def test_a_zero_checksum_needs_no_address() -> None:
    machine = Machine()
    must(machine, OPEN + " --csum zero")
    assert (west(machine).local, west(machine).encap_flags) == (None, 0)
    must(machine, "tunnel set west --csum remote")
    assert (west(machine).local, west(machine).encap_flags) == (ip_address("203.0.113.5"), 5)
    machine.spaces[ROOT].links["west"] = replace(west(machine), local=None)
    assert "wrong UDP checksums" in must(machine, "tunnel list").err


def test_port_0() -> None:
    """Somebody had the kernel choose a number, which it never tells: it can be closed all the same."""
    machine = Machine()
    key = PortKey(4, 0)
    machine.spaces[ROOT].fou_ports[key, 0] = replace(OPEN_PORT, key=key)
    said = must(machine, "port list")
    assert "*:0 " in said.out and "gutctl port del 0 --module fou" in said.err
    for line in ("port del 0", "port show 0", "port add 0 --module fou --any-source", "port set 0 --module fou --any-source"):
        must(machine, line, 2)
    must(machine, "port show 0 --module fou")
    must(machine, "port del 0 --module fou")
    assert ports(machine) == []


def test_the_environment_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setenv("GUTCTL_MODULE", "fou")
    must(machine, OPEN.replace(" --module fou", ""))
    assert west(machine).encap_type == 2
    must(machine, "--module gutless tunnel add east --remote 198.51.100.9 --port 7000")
    must(machine, "tunnel add north --remote 198.51.100.10 --port 7000 --module gutless")
    assert machine.spaces[ROOT].links["east"].encap_type == machine.spaces[ROOT].links["north"].encap_type == 4
    monkeypatch.setenv("GUTCTL_MODULE", "vxlan")
    assert "GUTCTL_MODULE=vxlan" in must(machine, "tunnel list", 2).err


def test_in_words_of_ip() -> None:
    """-v prints what ip itself would be told, without a remark."""
    said = must(Machine(), CONNECTED + " -v --csum remote")
    assert "+ ip fou add port 6080 gue local 203.0.113.5 peer 198.51.100.7 peer_port 6080" in said.err
    assert "encap gue encap-sport 6080 encap-dport 6080 encap-csum encap-remcsum" in said.err
    assert "nearest" not in said.err


@pytest.mark.parametrize("line", [
    OPEN + " --address 10.9.0.1/30", CONNECTED + " --address 10.9.0.1/30", "tunnel del old", "tunnel set old --port 7001",
    "tunnel set old --remote 198.51.100.20", "tunnel set old --no-any-source --sport 7000", "port del 7000 --force",
    "port add 7000 --module fou --any-source",
])  # fmt: skip
def test_undone_at_every_step(line: str) -> None:
    machine = Machine()
    must(machine, "tunnel add old --remote 198.51.100.19 --module fou --any-source --port 7000")
    before = machine.snapshot()
    step = 0
    while True:
        machine.restore(before)
        machine.fail_at = step
        said: Result = gutctl(machine, line)
        happened, machine.fail_at = machine.fail_at is None, None
        if not happened:
            break
        assert said.status == 1, (line, step, said)
        assert machine.snapshot() == before, (line, step)
        step += 1
    assert said.status == 0 and step >= 1
    assert machine.snapshot() != before
