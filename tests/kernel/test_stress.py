# SPDX-License-Identifier: Apache-2.0
"""Everything changes at once, on two processors, while several senders go on: afterwards all works, and nothing is left.

The topology is that of underway.py, with three tunnels more from a to b, each for IPv4 and IPv6, and back:

    f4 (ipip, FOU, port 6081)   g4 (gre, GUT-less header by a profile)   g6 (ip6gre, GUE)
    10.9.1.1                    10.9.2.1, fd09:2::1                      10.9.3.1, fd09:3::1     on b's lo

One thread changes ports and rules at b, one links and profiles at a, one makes and deletes namespaces with tunnels in
use, and the module is taken out and put in. 10 seconds, or longer where that is not enough to do each; `VMARGS='--append gutless.stress=300'` for longer.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import random
import re
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType

import leftovers
import modules
from net import Host, Net
from pings import ping
from rawnl import RawNetlink, Refused, key, n, source, u8, u16, u32
from traffic import tcp_transfer, wait_until
from underway import A4, A6, B4, B6, REFERENCES, Way, has_device

from gutctl.errors import GutctlError
from gutctl.model import Link
from gutctl.netlink import Kernel

PROFILE = 1
FOU_PORT = 6081
MORE = {
    "f4": ("ipip", 4, 4, FOU_PORT, 0),
    "g4": ("gre", 0, 5, 6080, PROFILE),
    "g6": ("ip6gre", 0, 5, 6080, 0),
}
"""Kind, protocol, encapsulation type, port and profile of the further tunnels."""
LEAST = {"module": 3, "ports": 5, "fou_port": 5, "rules": 5, "links": 3, "up_and_down": 3, "profiles": 5, "namespace": 3}
"""How often each thing is done at the least, however slow the machine."""
PATIENCE = 150
"""Seconds until they have to be done."""
TARGETS = ["10.9.0.1", "fd09::1", "10.9.1.1", "10.9.2.1", "fd09:2::1", "10.9.3.1", "fd09:3::1"]
"""Addresses of b, each behind another tunnel or IP version."""


def seconds() -> float:
    """How long things change."""
    found = re.search(r"gutless\.stress=(\d+)", Path("/proc/cmdline").read_text())
    return float(found[1]) if found else 10.0


class Stage(Way):
    """The topology, and how to put all of it as it should be."""

    def __init__(self, net: Net) -> None:
        super().__init__(net)
        self.b.ip(
            *(f"addr add 10.9.{n}.1/32 dev lo" for n in (1, 2, 3)), *(f"addr add fd09:{n}::1/128 dev lo nodad" for n in (2, 3))
        )
        for name in MORE:
            for host in (self.a, self.b):
                self.make(host, name)
        self.profile(self.a)
        self.profile(self.b)

    def make(self, host: Host, name: str) -> None:
        """One of the further tunnels, with its routes."""
        kind, protocol, encap, port, profile = MORE[name]
        pair = (B6, A6) if kind == "ip6gre" else (B4, A4)
        remote, local = pair if host is self.a else pair[::-1]
        flags = profile << 3 if profile else 2 if kind == "ip6gre" else 1
        with Kernel(host.name) as kernel:
            ends = ip_address(local), ip_address(remote)
            kernel.link_add(Link(name, kind, *ends, encap, flags, 0, port, protocol=protocol, ttl=64))
        lines = [f"link set {name} up"]
        if host is self.a:
            lines += [f"route replace {target} dev {name}" for target in TARGETS if self.behind(target) == name]
        host.ip(*lines)
        if host is self.b:
            host.sysctl(**{f"ipv4__conf__{name}__rp_filter": 0})

    @staticmethod
    def behind(target: str) -> str:
        """The tunnel that leads to an address."""
        return {"10.9.0.1": "t4", "fd09::1": "t6", "10.9.1.1": "f4"}.get(target) or ("g4" if "2" in target else "g6")

    def profile(self, host: Host) -> None:
        with contextlib.closing(host.call(RawNetlink)) as netlink:
            netlink.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", PROFILE), u8("A_PROFILE_FORMAT", 3))

    def open(self) -> None:
        super().open()
        fou = u8("A_PORT_ANY_SOURCE", 1) + u32("A_PORT_ACCEPT", n("ACCEPT_FOU")) + u8("A_PORT_FOU_PROTOCOL", 4)
        for netlink in (self.netlink, self.far):
            netlink.do("PORT_ADD", key(FOU_PORT), fou)

    def reload(self) -> None:
        """The module goes and comes; it starts empty."""
        self.netlink.close()
        self.far.close()
        modules.unload()
        modules.load()
        self.netlink, self.far = self.b.call(RawNetlink), self.a.call(RawNetlink)


@contextmanager
def senders(stage: Stage) -> Iterator[Counter[str]]:
    """Ping programs that flood every address, datagrams and TCP streams, whatever becomes of them; counts at the end."""
    counts: Counter[str] = Counter()
    stop = threading.Event()

    def datagrams(target: str) -> None:
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        with stage.c.socket(family, socket.SOCK_DGRAM) as sender:
            for number in itertools.count():
                if stop.is_set():
                    return
                with contextlib.suppress(OSError):
                    sender.sendto(bytes(number % 2000), (target, 9))
                    counts["datagrams"] += 1
                if not number % 10:
                    stop.wait(0.001)

    def streams() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            with contextlib.suppress(OSError, AssertionError):
                target = TARGETS[number % len(TARGETS)]
                done = tcp_transfer(stage.c, stage.b, target, 30_000, port=5000 + number % 500, timeout=1)
                counts["streams"] += done.received_hash == done.sent_hash
            stop.wait(0.01)

    threads = [threading.Thread(target=datagrams, args=(target,), daemon=True) for target in TARGETS[:2]]
    threads.append(threading.Thread(target=streams, daemon=True))
    with ExitStack() as stack:
        pings = [
            stage.c.start("ping", "-n", "-q", "-f", "-i", "0.01", "-s", "600", target, stdout=subprocess.PIPE)
            for target in TARGETS
        ]
        for process in pings:
            stack.callback(process.kill)
        for thread in threads:
            thread.start()
        try:
            yield counts
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)
        for process in pings:
            process.send_signal(2)
            out = process.communicate(timeout=10)[0].decode()
            found = re.search(r"(\d+) packets transmitted, (\d+) received", out)
            assert found, out
            counts["echoes sent"] += int(found[1])
            counts["echoes answered"] += int(found[2])


class Changes:
    """Threads that do one thing after another until they are stopped; what fails because others change things, too, is passed over."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.trouble: list[BaseException] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def run(self, actions: list[Callable[[random.Random], object]], seed: int, pause: float = 0.0) -> None:
        def body() -> None:
            rng = random.Random(seed)
            while not self._stop.is_set():
                action = rng.choice(actions)
                try:
                    action(rng)
                    self.done[action.__name__] += 1
                except (Refused, GutctlError, OSError, AssertionError, StopIteration) as error:
                    self.failed[f"{action.__name__}: {str(error)[:300] or type(error).__name__}"] += 1
                except BaseException as error:  # noqa: BLE001 - raised at the end
                    self.trouble.append(error)
                    return
                self._stop.wait(pause)

        self._threads.append(threading.Thread(target=body, daemon=True))
        self._threads[-1].start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a change does not come to its end"
        if self.trouble:
            raise self.trouble[0]


def change_at_the_receiver(stage: Stage) -> list[Callable[[random.Random], object]]:
    """Ports and rules of b."""

    def request(command: str, *body: bytes) -> None:
        # a socket of its own each time: the family's number changes with the module
        with contextlib.closing(stage.b.call(RawNetlink)) as netlink:
            netlink.do(command, *body)

    def ports(rng: random.Random) -> None:
        one = rng.choice([key(6080), key(6080, 6)])
        with contextlib.suppress(Refused):
            request("PORT_DEL", one)
        request("PORT_ADD", one, u8("A_PORT_ANY_SOURCE", 1))

    def fou_port(rng: random.Random) -> None:
        with contextlib.suppress(Refused):
            request("PORT_DEL", key(FOU_PORT))
        fou = u32("A_PORT_ACCEPT", n("ACCEPT_FOU")) + u8("A_PORT_FOU_PROTOCOL", 4)
        request("PORT_ADD", key(FOU_PORT), u8("A_PORT_ANY_SOURCE", 1), fou)

    def rules(rng: random.Random) -> None:
        for _ in range(5):
            request("PORT_SET", key(6080), u32("A_PORT_ACCEPT", rng.randrange(1, 8) << 1), u8("A_PORT_ANY_SOURCE", rng.randrange(2)))
            prefixes = [source(f"198.51.{rng.randrange(256)}.0/24") for _ in range(rng.randrange(40))]
            request("PORT_SET", key(6080), u32("A_PORT_FLAGS", 1), *prefixes)
        request("PORT_SET", key(6080), u32("A_PORT_ACCEPT", 14), u8("A_PORT_ANY_SOURCE", 1))

    return [ports, fou_port, rules]


def change_at_the_sender(stage: Stage) -> list[Callable[[random.Random], object]]:
    """Links and profiles of a."""

    def links(rng: random.Random) -> None:
        name = rng.choice(list(MORE))
        with contextlib.suppress(GutctlError), Kernel(stage.a.name) as kernel:
            kernel.link_del(name)
        stage.make(stage.a, name)

    def up_and_down(rng: random.Random) -> None:
        name = rng.choice(["t4", "t6", *MORE])
        targets = [f"route replace {target} dev {name}" for target in TARGETS if stage.behind(target) == name]
        stage.a.ip(f"link set {name} down", f"link set {name} up", *targets)

    def profiles(rng: random.Random) -> None:
        with contextlib.closing(stage.a.call(RawNetlink)) as netlink:
            for _ in range(5):
                with contextlib.suppress(Refused):
                    netlink.do("PROFILE_SET", u16("A_PROFILE_NUMBER", PROFILE), u8("A_PROFILE_CSUM", 1 + rng.randrange(2)))
                    netlink.do("PROFILE_DEL", u16("A_PROFILE_NUMBER", PROFILE))
                netlink.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", PROFILE), u8("A_PROFILE_FORMAT", 2 + rng.randrange(2)))

    return [links, up_and_down, profiles]


def namespaces(stage: Stage) -> Callable[[random.Random], None]:
    """A host of its own with a port, a profile and a tunnel to b that carries packets, deleted with all of it."""
    numbers = itertools.count(2)

    def namespace(rng: random.Random) -> None:
        number = next(numbers) % 250
        host = Host(f"gone-{number}-{time.monotonic_ns()}")
        host.create()
        try:
            name = f"n{number}"
            stage.b.ip(f"link add {name} type veth peer name eth0 netns {host.name}", f"link set {name} up")
            host.ip(f"addr add 172.16.{number}.2/24 dev eth0", "link set eth0 up", "route add default dev eth0")
            with contextlib.closing(host.call(RawNetlink)) as netlink:
                netlink.do("PORT_ADD", key(6080), source("172.16.0.0/12"))
                netlink.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", 9), u8("A_PROFILE_FORMAT", 2))
            with Kernel(host.name) as kernel:
                kernel.link_add(Link("out", "sit", None, ip_address(f"172.16.{number}.1"), 5, 9 << 3, 0, 6080, ttl=64))
            host.ip("link set out up", "route add 10.9.0.0/16 dev out")
            with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(20):
                    sender.sendto(bytes(100), ("10.9.0.1", 9))
                if rng.randrange(2):
                    # the link in use moves away from where it sends, and its namespace goes first
                    with Kernel(host.name) as kernel:
                        kernel.link_set("out", netns=stage.c.name)
                    stage.c.ip("link set out up", "link del out") if rng.randrange(2) else None
        finally:
            host.remove()

    return namespace


def test_everything_at_once(gutless: None) -> None:
    """Twice: the first time for what the kernel keeps for later, the second is compared."""
    once(3.0)
    before = leftovers.held()
    done, sent = once(seconds(), LEAST)
    print("\nchanges:", dict(done), "\ntraffic:", dict(sent))
    assert sent["echoes answered"] > 200
    assert sent["echoes sent"] > 500
    assert sent["datagrams"] > 500
    assert sent["streams"] >= 1
    leftovers.wait_for_none(before, 500, 1024, 30)
    assert REFERENCES.read_text().strip() == "0"


def once(length: float, least: Mapping[str, int] = MappingProxyType({})) -> tuple[Counter[str], Counter[str]]:
    """All of it for so many seconds, and until each thing has been done so often; then everything is put as it was, and every address answers."""
    net = Net()
    try:
        stage = Stage(net)
        changes = Changes()
        with senders(stage) as sent:
            wait_until(lambda: all(ping(stage.c, target, seconds=1) for target in TARGETS), 30, "all tunnels at work")
            changes.run(change_at_the_receiver(stage), 1)
            changes.run(change_at_the_sender(stage), 2)
            changes.run([namespaces(stage)], 3)
            started = time.monotonic()
            while time.monotonic() < started + length or any(changes.done[name] < count for name, count in least.items()):
                assert time.monotonic() < started + max(PATIENCE, 2 * length), f"too few: {changes.done}, failed: {changes.failed}"
                # now and then there is time for what takes longer
                time.sleep(1 + changes.done["module"] % 3)
                stage.reload()
                changes.done["module"] += 1
                with contextlib.suppress(Refused):
                    stage.profile(stage.a)
                with contextlib.suppress(Refused):
                    stage.profile(stage.b)
                with contextlib.suppress(Refused):
                    stage.open()
            changes.end()
        assert not [name for name in Path("/run/netns").iterdir() if name.name.startswith("gone-")]
        restore(stage)
        for target in TARGETS:
            wait_until(lambda target=target: ping(stage.c, target, seconds=1) == 1, 10, f"an answer from {target}")  # type: ignore[misc]
        # a refused change may have left a socket in a circle of references, and with it a namespace
        gc.collect()
        wait_until(lambda: not [d for d in devices(stage.b) if re.fullmatch(r"n\d+", d)], 60, "the wires of namespaces gone")
        stage.close()
    finally:
        net.close()
    return changes.done, sent


def devices(host: Host) -> list[str]:
    return [name for _, name in host.call(socket.if_nameindex)]


def restore(stage: Stage) -> None:
    """Everything anew, whatever is left of it."""
    stage.reload()
    stage.open()
    for host in (stage.a, stage.b):
        stage.profile(host)
    for name in MORE:
        if has_device(stage.a, name):
            with Kernel(stage.a.name) as kernel:
                kernel.link_del(name)
        stage.make(stage.a, name)
    stage.a.ip(
        "link set t4 down", "link set t6 down", "link set t4 up", "link set t6 up",
        "route replace 10.9.0.0/24 dev t4", "route replace fd09::/64 dev t6",
    )  # fmt: skip


def test_links_leave_nothing(net: Net, gutless: None) -> None:
    """What the module knows of links that are up is gone when they are not: 5 links, 60 times up and down."""
    stage = Stage(net)

    def again(kernel: Kernel) -> None:
        for name in ("t4", "t6", *MORE):
            kernel.link_set(name, up=False)
            kernel.link_set(name, up=True)

    with Kernel(stage.a.name) as kernel:
        again(kernel)
        before = leftovers.held()
        for _ in range(60):
            again(kernel)
    # a leak of one object a link is 300
    leftovers.wait_for_none(before, 150, 512)
    stage.close()
