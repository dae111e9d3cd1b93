# SPDX-License-Identifier: Apache-2.0
"""gutctl against a kernel: tunnels made by nothing but `gutctl tunnel add`.

  a                                              b
+--------------------------+                   +--------------------------+
| west  10.9.0.1/30        |                   | west  10.9.0.2/30        |
|       fd09::1/64         |   eth0 -- eth0    |       fd09::2/64         |
|   198.51.100.1/24        |-------------------|   198.51.100.2/24        |
|   2001:db8::1/64         |                   |   2001:db8::2/64         |
+--------------------------+                   +--------------------------+
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from net import Host, Net
from pings import ping
from tool import ROOT, Said, gutctl, gutctl_program, ok
from traffic import wait_until

pytestmark = pytest.mark.usefixtures("gutless")

OUTER = {4: ("198.51.100.1", "198.51.100.2"), 6: ("2001:db8::1", "2001:db8::2")}
ADDRESSES = (("10.9.0.1/30", "fd09::1/64"), ("10.9.0.2/30", "fd09::2/64"))


@pytest.fixture
def pair(net: Net) -> Iterator[tuple[Host, Host]]:
    a, b = net.host("a"), net.host("b")
    net.link(a, b, ["198.51.100.1/24", "2001:db8::1/64"], ["198.51.100.2/24", "2001:db8::2/64"])
    yield a, b


def add(host: Host, name: str, remote: str, *words: object, code: int = 0) -> Said:
    said = gutctl("tunnel", "add", name, "--remote", remote, *words, netns=host)
    assert said.code == code, said
    return said


def both(pair: tuple[Host, Host], family: int, *words: object, inner: int = 2) -> None:
    """The same tunnel from both sides, with as many of the addresses as it can carry."""
    for host, remote, addresses in zip(pair, reversed(OUTER[family]), ADDRESSES, strict=True):
        given = [word for cidr in addresses[:inner] for word in ("--address", cidr)]
        add(host, "west", remote, *given, *words)


def record(host: Host, *words: object) -> Any:
    return ok(gutctl(*words, netns=host, json=True)).data


def state(host: Host) -> tuple[object, ...]:
    """What there is in a namespace: ports, profiles, links; without counters."""
    ports = [{**p, "stats": None} for p in record(host, "port", "list")["ports"]]
    profiles = [{**p, "stats": None} for p in record(host, "profile", "list")["profiles"]]
    links = sorted(line for line in host.run("ip", "-o", "link").stdout.splitlines() if "lo:" not in line)
    return ports, profiles, links


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("form", ["gutless", "gue"])
def test_pair_carries_both_families(pair: tuple[Host, Host], family: int, form: str) -> None:
    both(pair, family, "--format", form)
    assert ping(pair[0], "10.9.0.2") == 1
    assert ping(pair[1], "fd09::1") == 1
    headers = {4: 20, 6: 40}[family] + 8 + (4 if form == "gue" else 0)
    tunnel = record(pair[0], "tunnel", "show", "west")["tunnel"]
    assert (tunnel["mtu"], tunnel["format"], tunnel["up"]) == (1500 - headers, form, True)
    # the largest packet passes whole
    assert ping(pair[0], "10.9.0.2", octets=1500 - headers - 28, dont_fragment=True) == 1


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("inner", ["ipv4", "ipv6"])
def test_fou_carries_one_family(pair: tuple[Host, Host], family: int, inner: str) -> None:
    addresses = [a[0 if inner == "ipv4" else 1] for a in ADDRESSES]
    for host, remote, cidr in zip(pair, reversed(OUTER[family]), addresses, strict=True):
        add(host, "west", remote, "--format", "fou", "--inner", inner, "--address", cidr)
    assert ping(pair[0], addresses[1].partition("/")[0]) == 1


@pytest.mark.parametrize("words", [
    ("--sport", "6080"), ("--sport", "50000-50003"), ("--csum", "zero"),
    ("--sport", "50000-50003", "--csum", "zero", "--format", "gue"),
    ("--ttl", "inherit", "--tos", "inherit"), ("--port", "7000"), ("--mtu", "1300"),
])  # fmt: skip
def test_options_pass_and_are_idempotent(pair: tuple[Host, Host], words: tuple[str, ...]) -> None:
    both(pair, 4, *words)
    assert ping(pair[0], "10.9.0.2") == 1
    before = state(pair[0])
    again = add(pair[0], "west", OUTER[4][1], "--address", ADDRESSES[0][0], "--address", ADDRESSES[0][1], *words)
    assert again.out == "west: unchanged\n"
    assert state(pair[0]) == before


def test_conflict_says_what_differs(pair: tuple[Host, Host]) -> None:
    both(pair, 4)
    before = state(pair[0])
    said = add(pair[0], "west", "198.51.100.9", code=3)
    assert "remote 198.51.100.2 (asked: 198.51.100.9)" in said.err
    assert f"gutctl -n {pair[0].name} tunnel set west --remote 198.51.100.9" in said.err
    assert state(pair[0]) == before


def test_the_hint_mends(pair: tuple[Host, Host]) -> None:
    both(pair, 4)
    said = add(pair[0], "west", "198.51.100.9", "--csum", "zero", "--ttl", "3", code=3)
    command = said.err.partition("hint: gutctl ")[2].split()
    ok(gutctl(*command))
    asked = ("--csum", "zero", "--ttl", "3")
    assert add(pair[0], "west", "198.51.100.9", *asked).out == "west: unchanged\n"


def test_port_in_use_names_the_program(pair: tuple[Host, Host]) -> None:
    a, _ = pair
    before = state(a)
    with a.udp(port=6080):
        said = add(a, "west", OUTER[4][1], code=4)
    assert "port 6080/udp is in use by another socket" in said.err
    assert f"pid {os.getpid()}" in said.err
    assert state(a) == before


def test_failure_is_undone(pair: tuple[Host, Host]) -> None:
    """The kernel refuses the second address: IPv6 is off on the device to be."""
    a, _ = pair
    a.sysctl(ipv6__conf__default__disable_ipv6=1)
    before = state(a)
    words = ("--sport", "50000-50003", "--address", "10.9.0.1/30", "--address", "fd09::1/64")
    said = gutctl("tunnel", "add", "west", "--remote", OUTER[4][1], *words, netns=a)
    assert said.code in (1, 6), said
    assert said.err and "could not be taken back" not in said.err
    assert state(a) == before


def test_check_changes_nothing(pair: tuple[Host, Host]) -> None:
    a, _ = pair
    before = state(a)
    said = add(a, "west", OUTER[4][1], "--sport", "50000-50003", "--check", "--diff", code=8)
    assert "+ tunnel west" in said.out and "+ port 6080/udp" in said.out
    assert state(a) == before
    add(a, "west", OUTER[4][1])
    add(a, "west", OUTER[4][1], "--check")
    assert gutctl("tunnel", "del", "west", "--check", netns=a).code == 8
    assert state(a) != before
    ok(gutctl("tunnel", "del", "west", netns=a))
    assert state(a) == before


def test_shared_port_goes_with_the_last(pair: tuple[Host, Host]) -> None:
    a, _ = pair
    before = state(a)
    add(a, "west", "198.51.100.2")
    add(a, "east", "198.51.100.3", "--from", "10.0.0.0/8", "--from", "198.51.100.2")
    (port,) = record(a, "port", "list")["ports"]
    assert port["sources"] == ["10.0.0.0/8", "198.51.100.2/32"]
    ok(gutctl("tunnel", "del", "west", netns=a))
    (port,) = record(a, "port", "list")["ports"]
    assert port["sources"] == ["10.0.0.0/8", "198.51.100.2/32"]
    ok(gutctl("tunnel", "del", "east", netns=a))
    assert state(a) == before


def test_administrators_port_stays(pair: tuple[Host, Host]) -> None:
    a, _ = pair
    ok(gutctl("port", "add", 6080, "--from", "10.0.0.0/8", netns=a))
    before = state(a)
    add(a, "west", "198.51.100.2")
    assert ok(gutctl("port", "add", 6080, "--from", "10.0.0.0/8", netns=a)).out.endswith("unchanged\n")
    ok(gutctl("tunnel", "del", "west", netns=a))
    assert state(a) == before


@pytest.mark.parametrize("family", [4, 6])
def test_device_moved_to_a_namespace(net: Net, pair: tuple[Host, Host], family: int) -> None:
    """west of a stands in c, sends from a, and takes its port with it when it is deleted there."""
    a, b = pair
    c = net.host("c")
    other = {4: "198.51.100.3", 6: "2001:db8::3"}[family]
    before = state(a)
    words = ("--address", "10.9.0.1/30", "--move-to", c.name)
    add(a, "west", OUTER[family][1], *words)
    add(b, "west", OUTER[family][0], "--address", "10.9.0.2/30")
    assert ping(c, "10.9.0.2") == 1
    assert add(a, "west", OUTER[family][1], *words).out == "west: unchanged\n"
    tunnel = record(c, "tunnel", "show", "west")["tunnel"]
    assert tunnel["moved"] and tunnel["receiver"]["port"] == 6080
    # another tunnel of a on that port comes and goes
    add(a, "east", other)
    ok(gutctl("tunnel", "del", "east", netns=a))
    assert ping(c, "10.9.0.2") == 1
    ok(gutctl("tunnel", "del", "west", netns=c))
    assert state(a) == before


def test_device_moved_to_a_process(net: Net, pair: tuple[Host, Host]) -> None:
    """A container has no name: --move-to PID, and the port is still looked after."""
    a, b = pair
    container = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    try:
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{container.pid}/ns/net") != own)
        add(a, "west", OUTER[4][1], "--address", "10.9.0.1/30", "--move-to", container.pid)
        add(a, "east", "198.51.100.3")
        ok(gutctl("tunnel", "del", "east", netns=a))
        (port,) = record(a, "port", "list")["ports"]
        assert port["sources"] == ["198.51.100.2/32"]
        add(b, "west", OUTER[4][0], "--address", "10.9.0.2/30")
        assert ping(b, "10.9.0.1") == 1
        ok(gutctl("tunnel", "del", "west", netns=str(container.pid)))
        assert record(a, "port", "list")["ports"] == []
    finally:
        container.kill()
        container.wait()


def test_set_while_it_runs(pair: tuple[Host, Host]) -> None:
    a, b = pair
    both(pair, 4)
    for words in (
        ("--format", "gue"), ("--sport", "50000-50003"), ("--csum", "zero"), ("--sport", "auto"),
        ("--ttl", "7"), ("--port", "6099", "--peer-port", "6099"), ("--csum", "full"), ("--mtu", "1400"),
        ("--format", "gutless"), ("--mtu", "auto"),
    ):  # fmt: skip
        for host in pair:
            ok(gutctl("tunnel", "set", "west", *words, netns=host))
        assert ping(a, "10.9.0.2") == 1, words
        assert ping(b, "fd09::1") == 1, words
    tunnel = record(a, "tunnel", "show", "west")["tunnel"]
    assert (tunnel["mtu"], tunnel["port"], tunnel["profile"]) == (1472, 6099, None)
    assert [p["port"] for p in record(a, "port", "list")["ports"]] == [6099]
    assert record(a, "profile", "list")["profiles"] == []


def test_set_follows_the_peer(pair: tuple[Host, Host]) -> None:
    a, b = pair
    both(pair, 4)
    b.ip("addr add 198.51.100.22/24 dev eth0")
    ok(gutctl("tunnel", "set", "west", "--local", "198.51.100.22", netns=b))
    assert ping(a, "10.9.0.2", seconds=1) == 0
    ok(gutctl("tunnel", "set", "west", "--remote", "198.51.100.22", netns=a))
    assert ping(a, "10.9.0.2") == 1
    (port,) = record(a, "port", "list")["ports"]
    assert port["sources"] == ["198.51.100.22/32"]


def test_refused_set_leaves_the_tunnel_running(pair: tuple[Host, Host]) -> None:
    a, b = pair
    both(pair, 4)
    add(b, "other", "198.51.100.3")
    before = state(a), state(b)
    with a.udp(port=7000):
        assert gutctl("tunnel", "set", "west", "--port", 7000, netns=a).code == 4
    assert gutctl("tunnel", "set", "west", "--remote", "2001:db8::2", netns=a).code == 3
    assert gutctl("tunnel", "set", "west", "--mtu", 1000, netns=a).code == 2
    assert gutctl("tunnel", "set", "west", "--remote", "198.51.100.3", netns=b).code == 3
    assert (state(a), state(b)) == before
    assert ping(a, "10.9.0.2") == 1


def test_disallowed_source_is_dropped_and_counted(pair: tuple[Host, Host]) -> None:
    a, b = pair
    both(pair, 4)
    ok(gutctl("port", "set", 6080, "--from", "192.0.2.1", netns=b))
    assert ping(a, "10.9.0.2", seconds=1) == 0
    (port,) = record(b, "port", "list")["ports"]
    assert port["stats"]["drops"]["source"] >= 1
    assert "source" in ok(gutctl("tunnel", "list", "--stats", netns=b)).out
    ok(gutctl("port", "set", 6080, "--add-from", "198.51.100.0/24", netns=b))
    assert ping(a, "10.9.0.2") == 1


def test_stats_count_what_passed(pair: tuple[Host, Host]) -> None:
    both(pair, 4)
    assert ping(pair[0], "10.9.0.2", count=3) == 3
    there = record(pair[1], "stats")
    assert there["ports"][0]["stats"]["packets"] >= 3
    assert record(pair[0], "stats")["plain"]["packets"] >= 3


def test_monitor_sees_everything(pair: tuple[Host, Host]) -> None:
    """A program of its own, since it prints while other commands do."""
    a, _ = pair
    command = ("python3", "-c", "from gutctl.cli import main; main()", "monitor", "--json", "-v", "--count", "5")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    pipe = subprocess.PIPE
    monitor = a.start(*command, env=environment, stdout=pipe, stderr=pipe)
    assert monitor.stderr is not None
    try:
        assert select.select([monitor.stderr], [], [], 60)[0]
        assert monitor.stderr.readline() == b"gutctl: listening\n"
        add(a, "west", OUTER[4][1], "--sport", "50000-50003")
        add(a, "east", "198.51.100.3")
        ok(gutctl("tunnel", "del", "west", netns=a))
        ok(gutctl("tunnel", "del", "east", netns=a))
        out, err = monitor.communicate(timeout=60)
    finally:
        monitor.kill()
        monitor.wait()
    assert (monitor.returncode, err) == (0, b"")
    events = [json.loads(line) for line in out.splitlines()]
    names = [event["event"] for event in events]
    assert names == ["profile-add", "port-add", "port-set", "port-set", "profile-del"]
    assert events[2]["port"]["sources"] == ["198.51.100.2/32", "198.51.100.3/32"]


def test_doctor(pair: tuple[Host, Host]) -> None:
    a, _ = pair
    both(pair, 4)
    said = gutctl("doctor", netns=a, json=True)
    findings = {f["text"]: f for f in said.data["findings"]}
    assert any("module gutless" in text and "loaded" in text for text in findings), findings
    ok(gutctl("port", "del", 6080, "--force", netns=a))
    a.sysctl(ipv4__conf__all__rp_filter=1)
    said = gutctl("doctor", netns=a, json=True)
    assert said.code == 1
    broken = [f for f in said.data["findings"] if f["level"] == "fail"]
    assert broken[0]["command"] == "gutctl tunnel set west --port 6080"
    assert any("rp_filter" in f["text"] for f in said.data["findings"])
    ok(gutctl(*broken[0]["command"].split()[1:], netns=a))
    assert ping(a, "10.9.0.2") == 1


def test_not_permitted(pair: tuple[Host, Host]) -> None:
    words = ("setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all", "--")
    python = [*words, "python3", "-c", "from gutctl.cli import main; main()"]
    done = pair[0].run(*python, "port", "list", check=False)
    assert done.returncode == 6, done
    assert "gutctl: " in done.stderr and "Traceback" not in done.stderr


def test_as_a_program(pair: tuple[Host, Host]) -> None:
    """Once without the harness's short cut: exit status and text as a user has them."""
    said = gutctl_program("tunnel", "add", "west", "--remote", OUTER[4][1], netns=pair[0])
    assert said.code == 0, said
    assert said.out.splitlines() == [
        "west: 198.51.100.1:6080 -> 198.51.100.2:6080, format gutless, csum full, mtu 1472, up",
        "  port 6080/udp accepts gue0 bare gutless from 198.51.100.2",
    ]
