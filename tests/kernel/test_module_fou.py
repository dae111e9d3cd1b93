# SPDX-License-Identifier: Apache-2.0
"""gutctl --module fou: the same commands over the kernel's own fou module, against gutless and against itself.

  a  --module fou                                b  gutless (where not said otherwise)
+--------------------------+                   +--------------------------+
| west  10.9.0.1/30        |                   | west  10.9.0.2/30        |
|       fd09::1/64         |   eth0 -- eth0    |       fd09::2/64         |
|   198.51.100.1/24        |-------------------|   198.51.100.2/24        |
|   2001:db8::1/64         |   offloads off    |   2001:db8::2/64         |
+--------------------------+                   +--------------------------+
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any

import modules
import pytest
from capture import capture
from net import Host, Net, run
from pings import ping
from test_cli_undo import run as run_failing
from tool import Said, gutctl, ok
from topology import Pair, pair
from traffic import assert_tcp

from gutctl.errors import ConflictError, GutctlError, InUseError, NotFoundError, UnsupportedError
from gutctl.model import ALL_INNER, Accept, Link, Module, Port, PortKey, Stats
from gutctl.netlink import Kernel

pytestmark = pytest.mark.usefixtures("gutless")

FOU = ("--module", "fou")
INNER = {"10.9.0.1/30": "10.9.0.2", "fd09::1/64": "fd09::2"}
NEAR, FAR = ("10.9.0.1/30", "fd09::1/64"), ("10.9.0.2/30", "fd09::2/64")


@dataclass(frozen=True)
class Ends(Pair):
    """The two hosts, and what a look into each costs only once."""

    kernels: dict[str, list[Kernel]] = field(default_factory=dict)

    def state(self, host: Host) -> tuple[list[Port], list[Link]]:
        """Ports of both modules and links, without counters and interface numbers."""
        ports: list[Port] = []
        for kernel in self.kernels[host.name]:
            with suppress(UnsupportedError):  # one test takes modules out
                ports += [replace(port, stats=Stats()) for port in kernel.ports()]
        return ports, [still(link) for link in self.kernels[host.name][0].links()]


def still(link: Link) -> Link:
    return replace(
        link, ifindex=0, rx_packets=0, rx_octets=0, tx_packets=0, tx_octets=0, tx_dropped=0,
        addresses=tuple(sorted(link.addresses)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def wire(module_net: Net) -> Iterator[Ends]:
    made = pair(module_net, offloads=False)
    kernels = {host.name: [Kernel(host.name)] for host in (made.a, made.b)}
    for of_host in kernels.values():
        of_host.append(of_host[0].using(Module.FOU))
    yield Ends(made.a, made.b, kernels=kernels)
    for of_host in kernels.values():
        of_host[0].close()


@pytest.fixture
def ends(wire: Ends) -> Iterator[Ends]:
    """Both hosts, empty before and after."""
    assert wire.state(wire.a) == wire.state(wire.b) == ([], [])
    yield wire
    for of_host in wire.kernels.values():
        for link in of_host[0].links():
            of_host[0].link_del(link.name)
        for profile in of_host[0].profiles():
            of_host[0].profile_del(profile.number)
        for kernel in of_host:
            for port in kernel.ports():
                kernel.port_del(port.key)


def add(host: Host, remote: str, *words: object, code: int = 0, name: str = "west") -> Said:
    said = gutctl("tunnel", "add", name, "--remote", remote, *words, netns=host)
    assert said.code == code, said
    return said


def record(host: Host, *words: object) -> Any:
    return ok(gutctl(*words, netns=host, json=True)).data


def addresses(cidrs: tuple[str, ...], words: tuple[str, ...]) -> list[str]:
    """Those that the inner protocol lets through."""
    chosen = cidrs
    if "--inner" in words:
        chosen = cidrs[:1] if words[words.index("--inner") + 1] == "ipv4" else cidrs[1:]
    return [word for cidr in chosen for word in ("--address", cidr)]


WAYS = (
    ("--format", "gue"),
    ("--format", "fou", "--inner", "ipv4"),
    ("--format", "fou", "--inner", "ipv6"),
    ("--format", "gue", "--mode", "gre"),
    ("--format", "gue", "--mode", "eth"),
    ("--format", "fou", "--mode", "gre"),
    ("--format", "fou", "--mode", "eth"),
)
CASES = [
    *((4, (*way, "--csum", "full")) for way in WAYS),
    *((6, (*way, "--csum", "full")) for way in (*WAYS[:4], WAYS[-1])),
    *((family, ("--format", "gue", "--csum", csum)) for family in (4, 6) for csum in ("zero", "remote")),
]


@pytest.mark.parametrize(("family", "words"), CASES, ids=lambda value: str(value) if isinstance(value, int) else "-".join(value[1::2]))
def test_fou_at_one_end_gutless_at_the_other(ends: Ends, family: int, words: tuple[str, ...]) -> None:
    near, far = ends.ends(family)
    said = add(ends.a, far, *FOU, "--any-source", *words, *addresses(NEAR, words))
    assert "module fou" in said.out
    add(ends.b, near, *words, *addresses(FAR, words))
    inner = addresses(FAR, words)[1].partition("/")[0]
    with capture(ends.a, "eth0") as wire:
        assert ping(ends.a, inner) == 1
        assert ping(ends.b, inner.replace(".0.2", ".0.1").replace("::2", "::1")) == 1
        outers = wire.outers(6080, outgoing=True) + wire.outers(6080, outgoing=False)
    csum = words[words.index("--csum") + 1]
    assert len(outers) >= 4
    assert {packet.csum for packet in outers} == {"none" if csum == "zero" else "ok"}
    assert assert_tcp(ends.a, ends.b, inner, 100_000).received == 100_000
    tunnels = [record(host, "tunnel", "show", "west")["tunnel"] for host in (ends.a, ends.b)]
    assert [tunnel["module"] for tunnel in tunnels] == ["fou", "gutless"]
    assert tunnels[0]["mtu"] == tunnels[1]["mtu"]
    assert tunnels[0]["csum"] == csum and tunnels[0]["receiver"]["stats"] is None
    assert tunnels[1]["port_drops"] == {} or not any(tunnels[1]["port_drops"].values())
    again = add(ends.a, far, *FOU, "--any-source", *words, *addresses(NEAR, words))
    assert again.out == "west: unchanged\n"
    for host in (ends.a, ends.b):
        ok(gutctl("tunnel", "del", "west", netns=host))
    assert ends.state(ends.a) == ends.state(ends.b) == ([], [])


@pytest.mark.parametrize("family", [4, 6])
def test_connected_to_one_peer_and_port(ends: Ends, family: int) -> None:
    """Fixed source ports at both ends: a's port takes packets from b's one port alone."""
    near, far = ends.ends(family)
    words = ("--sport", "6080", "--format", "gue")
    said = add(ends.a, far, *FOU, *words, *addresses(NEAR, words))
    assert f"from {far} port 6080" in said.out and "the peer has to send from there" in said.err
    add(ends.b, near, *words, *addresses(FAR, words))
    assert ping(ends.a, "10.9.0.2") == 1 and ping(ends.b, "fd09::1") == 1
    assert add(ends.a, far, *FOU, *words, *addresses(NEAR, words)).out == "west: unchanged\n"
    (port,) = record(ends.a, "port", "list")["ports"]
    assert (port["any_source"], port["from_port"], port["module"]) == (False, 6080, "fou")
    ok(gutctl("tunnel", "set", "west", "--sport", "6081", netns=ends.b))
    assert ping(ends.b, "10.9.0.1", seconds=0.5) == 0
    ok(gutctl("tunnel", "set", "west", "--any-source", netns=ends.a))
    assert ping(ends.b, "10.9.0.1") == 1
    ok(gutctl("tunnel", "set", "west", "--no-any-source", netns=ends.a))
    assert ping(ends.b, "10.9.0.1", seconds=0.5) == 0
    ok(gutctl("tunnel", "set", "west", "--sport", "6080", netns=ends.b))
    assert ping(ends.b, "10.9.0.1") == 1
    ok(gutctl("tunnel", "del", "west", netns=ends.a))
    assert ends.state(ends.a) == ([], [])


def test_fou_at_both_ends_and_set(ends: Ends) -> None:
    for host, remote, cidrs in ((ends.a, ends.b4, NEAR), (ends.b, ends.a4, FAR)):
        add(host, remote, *FOU, "--any-source", *addresses(cidrs, ()))
    assert ping(ends.a, "10.9.0.2") == 1
    for words in (("--csum", "zero"), ("--csum", "remote"), ("--port", "7000", "--peer-port", "7000"), ("--ttl", "9"), ("--sport", "5555")):
        for host in (ends.a, ends.b):
            ok(gutctl("tunnel", "set", "west", *words, netns=host))
        assert ping(ends.a, "10.9.0.2") == 1 and ping(ends.b, "fd09::1") == 1, words
    tunnel = record(ends.a, "tunnel", "show", "west")["tunnel"]
    assert (tunnel["csum"], tunnel["port"], tunnel["ttl"], tunnel["source_ports"]) == ("remote", 7000, 9, [5555, 5555])
    assert tunnel["mtu"] == 1500 - 20 - 8 - 4 - 8
    assert [p["port"] for p in record(ends.a, "port", "list")["ports"]] == [7000]


def test_tunnels_share_an_open_port(ends: Ends) -> None:
    """The port goes with its last tunnel, unless `port add` has said that it stays."""
    add(ends.a, ends.b4, *FOU, "--any-source")
    add(ends.a, "198.51.100.3", *FOU, "--any-source", name="east")
    ok(gutctl("tunnel", "del", "west", netns=ends.a))
    assert len(record(ends.a, "port", "list")["ports"]) == 1
    said = gutctl("port", "del", 6080, netns=ends.a)
    assert said.code == 4 and "is what east receives on" in said.err
    ok(gutctl("tunnel", "del", "east", netns=ends.a))
    assert ends.state(ends.a) == ([], [])
    add(ends.a, ends.b4, *FOU, "--any-source")
    assert gutctl("port", "add", 6080, *FOU, "--any-source", "--check", netns=ends.a).code == 8
    ok(gutctl("port", "add", 6080, *FOU, "--any-source", netns=ends.a))
    assert ok(gutctl("port", "add", 6080, *FOU, "--any-source", netns=ends.a)).out == "port 6080/udp: unchanged\n"
    ok(gutctl("tunnel", "del", "west", netns=ends.a))
    assert len(record(ends.a, "port", "list")["ports"]) == 1
    ok(gutctl("port", "del", 6080, netns=ends.a))
    assert gutctl("port", "del", 6080, *FOU, netns=ends.a).out == "port 6080/udp: absent\n"
    assert gutctl("port", "show", 6080, netns=ends.a).code == 5


def test_somebody_else_has_the_port(ends: Ends) -> None:
    """A program, the other module, a port that would be included: each is told apart, and nothing changes."""
    before = ends.state(ends.a)
    with ends.a.udp(port=6080):
        said = add(ends.a, ends.b4, *FOU, "--any-source", code=4)
        assert f"pid {os.getpid()}" in said.err
    assert ends.state(ends.a) == before
    ok(gutctl("port", "add", 6080, "--any-source", netns=ends.a))
    said = add(ends.a, ends.b4, *FOU, "--any-source", "--check", code=4)
    assert "port 6080/udp of the module gutless" in said.err and "--module gutless" in said.err
    ok(gutctl("port", "del", 6080, netns=ends.a))
    ok(gutctl("port", "add", 6080, *FOU, "--local", ends.a4, "--any-source", netns=ends.a))
    before = ends.state(ends.a)
    assert "port 6080/udp on 198.51.100.1 of the module fou" in add(ends.a, ends.b4, code=4).err
    assert gutctl("port", "add", 6080, *FOU, "--any-source", netns=ends.a).code == 4
    said = gutctl("port", "add", 6080, *FOU, "--local", ends.a4, "--accept", "fou:4", "--any-source", netns=ends.a)
    assert said.code == 3 and "accept gue0,bare (asked: fou:4)" in said.err
    assert ends.state(ends.a) == before


def test_the_kernel_s_poor_errors(ends: Ends) -> None:
    gue: dict[str, Any] = {"accept": frozenset({Accept.GUE0, Accept.BARE}), "inner": ALL_INNER, "module": Module.FOU}
    near, far = ip_address(ends.a4), ip_network(ends.b4)

    def refused(kind: type[GutctlError], port: Port, text: str) -> None:
        with pytest.raises(kind, match=text) as caught:
            kernel.port_add(port)
        assert type(caught.value) is kind and caught.value.errno

    with Kernel(ends.a.name, Module.FOU) as kernel:  # not the shared one: as a library's user makes it
        anybody = Port(PortKey(4, 7000), any_source=True, **gue)
        one = Port(PortKey(4, 7001), sources=frozenset({far}), from_port=9, **gue)
        for port in (anybody, one):
            kernel.port_add(port)
            refused(ConflictError, port, "exists already")
        refused(InUseError, replace(anybody, key=PortKey(4, 7000, near)), "port 7000/udp is there, which it would include")
        refused(GutctlError, Port(PortKey(4, 7002, ip_address("192.0.2.9")), any_source=True, **gue), "not on this host")
        nobody = frozenset({ip_network("192.0.2.9")})
        refused(NotFoundError, Port(PortKey(4, 7002), sources=nobody, from_port=9, **gue), "no route")
        with ends.a.udp(port=7003):
            refused(InUseError, Port(PortKey(4, 7003), any_source=True, **gue), f"pid {os.getpid()}")
        assert kernel.port(PortKey(4, 7001)) == replace(one, key=PortKey(4, 7001, near))
        assert kernel.port(PortKey(4, 7004)) is None
        with pytest.raises(NotFoundError, match="port 7004/udp: not found"):
            kernel.port_del(PortKey(4, 7004))
        assert [port.key.port for port in kernel.ports()] == [7000, 7001]


def test_dump_passes_over_nobody(ends: Ends) -> None:
    """The module's dump loses an entry where a part ends, and tells port 0; the tool's list loses none."""
    numbers = range(10000, 10400)
    ends.a.ip(*(f"fou add port {n} gue -6" for n in numbers), f"fou add port 9999 ipproto 4 local {ends.a4}")
    kernel = ends.kernels[ends.a.name][1]
    try:
        ports = [(port.key.family, port.key.port) for port in kernel.ports()]
        assert ports == [(4, 9999), *((6, n) for n in numbers)]
    finally:
        ends.a.ip(*(f"fou del port {n} gue -6" for n in numbers))
    # without a number the kernel takes one, and tells 0
    kernel._run(lambda session: session.fou._family.request(*unnumbered()))
    said = ok(gutctl("port", "list", netns=ends.a))
    assert "*:0 " in said.out and "port 0" in said.err
    assert len(said.out.splitlines()) == 3
    command = said.err.partition("gutctl port del")[2].split()[:3]
    ok(gutctl("port", "del", *command, netns=ends.a))
    assert len(kernel.ports()) == 1


def unnumbered() -> tuple[Any, ...]:
    from gutctl._nl.fou import _MESSAGE
    from gutctl._nl.sockets import ACK

    return _MESSAGE, 1, ACK, [("family", 2), ("type", 2)], "port"


def test_what_others_made_is_left_alone(ends: Ends) -> None:
    ends.a.ip(
        "fou add port 5555 gue",
        f"link add theirs type sit remote {ends.b4} encap gue encap-sport auto encap-dport 5555 encap-csum",
        "link add lonely type ipip remote 198.51.100.3 encap fou encap-sport auto encap-dport 5556",
    )
    before = ends.state(ends.a)
    assert record(ends.a, "tunnel", "list")["tunnels"] == []
    theirs = {t["name"]: t for t in record(ends.a, "tunnel", "list", *FOU)["tunnels"]}
    assert [theirs[n]["port"] for n in ("theirs", "lonely")] == [5555, None]
    assert (theirs["theirs"]["format"], theirs["lonely"]["format"], theirs["theirs"]["any_source"]) == ("gue", "fou", True)
    add(ends.a, ends.b4, *FOU, "--any-source", name="theirs", code=3)
    said = add(ends.a, ends.b4, name="theirs", code=3)
    assert "module fou (asked: gutless)" in said.err
    assert ends.state(ends.a) == before
    ok(gutctl("tunnel", "del", "theirs", netns=ends.a))
    assert [port.key.port for port in ends.state(ends.a)[0]] == [5555]


def test_undone_at_every_step(ends: Ends) -> None:
    for line in (
        f"tunnel add west --remote {ends.b4} --module fou --sport 6080 --address 10.9.0.1/30",
        "tunnel set west --any-source --csum zero --port 7000 --ttl 9",
        "port add 7000 --module fou --any-source",
        "port del 7000 --force",
        "tunnel del west",
    ):
        before = ends.state(ends.a)
        step = 0
        while True:  # one more step each time, until the command is done before the failure
            status, happened = run_failing(ends.a, line, step)
            if not happened:
                break
            assert status == 1, (line, step)
            assert ends.state(ends.a) == before, (line, step)
            step += 1
        assert status == 0 and step >= 1, (line, step, status)
        assert ends.state(ends.a) != before


def test_without_gutless(ends: Ends) -> None:
    """Where the module is not there, and then none is."""
    modules.unload()
    try:
        for host, remote, cidrs in ((ends.a, ends.b4, NEAR), (ends.b, ends.a4, FAR)):
            add(host, remote, *FOU, "--any-source", *addresses(cidrs, ()))
        assert ping(ends.a, "10.9.0.2") == 1 and ping(ends.b, "fd09::1") == 1
        assert [t["name"] for t in record(ends.a, "tunnel", "list")["tunnels"]] == ["west"]
        assert ok(gutctl("port", "list", netns=ends.a)).out.count("fou") == 1
        ok(gutctl("port", "show", 6080, netns=ends.a))
        said = add(ends.a, ends.b4, name="east", code=7)
        assert "modprobe gutless" in said.err
        said = gutctl("doctor", netns=ends.a)
        assert "module fou" in said.out and said.code == 7
        for host in (ends.a, ends.b):
            ok(gutctl("tunnel", "del", "west", netns=host))
        run("rmmod", "fou6")
        said = add(ends.a, ends.b6, *FOU, "--any-source", code=7)
        assert "fou6" in said.err and "modprobe fou6" in said.err
        run("rmmod", "fou")
        said = add(ends.a, ends.b4, *FOU, "--any-source", code=7)
        assert "the kernel module fou is not loaded" in said.err and "hint: modprobe fou" in said.err
        assert gutctl("port", "list", netns=ends.a).code == 7
    finally:
        run("modprobe", "-a", "fou", "fou6")
        modules.load()
    assert ends.state(ends.a) == ends.state(ends.b) == ([], [])
