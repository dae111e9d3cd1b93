# SPDX-License-Identifier: Apache-2.0
"""The door stands in one namespace, whoever opens it and from whichever thread it is used; no topology."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import pytest
from net import Host, Net
from traffic import wait_until

from gutctl.errors import GutctlError, NotFoundError, NotPermittedError, UsageError
from gutctl.model import Link, Port, PortKey
from gutctl.netlink import Kernel


@pytest.fixture
def red(gutless: None, net: Net) -> Host:
    return net.host("red")


@pytest.fixture
def blue(net: Net) -> Host:
    return net.host("blue")


class Sleeper:
    """A process in a namespace that waits to be ended."""

    def __init__(self, host: Host) -> None:
        self.process = host.start("sleep", "600")

    def __enter__(self) -> int:
        return self.process.pid

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()


def inode(path: str = "/proc/thread-self/ns/net") -> int:
    return os.stat(path).st_ino


def test_by_name_path_and_process(red: Host) -> None:
    home = inode()
    there = red.path.stat().st_ino
    assert home != there
    with Sleeper(red) as pid:
        for netns in (red.name, str(red.path), f"/proc/{pid}/ns/net", pid, str(pid)):
            with Kernel(netns) as kernel:
                assert kernel.in_netns(inode) == there
                # the family and rtnetlink are asked there too
                kernel.port_add(Port(PortKey(4, 6080), any_source=True))
                kernel.link_add(Link("west", "sit", None, None, 4, 1, 0, 6080))
            with Kernel(red.name) as kernel:
                assert len(kernel.ports()) == 1
                assert [link.name for link in kernel.links()] == ["west"]
                kernel.port_del(PortKey(4, 6080))
                kernel.link_del("west")
    # the calling thread has not moved
    assert inode() == home
    with Kernel() as kernel:
        assert kernel.in_netns(inode) == home
        assert kernel.ports() == []


def test_none_is_the_namespace_of_the_calling_thread(red: Host) -> None:
    def inside() -> int:
        with Kernel() as kernel:
            return kernel.in_netns(inode)

    assert red.call(inside) == red.path.stat().st_ino


def test_a_name_of_digits_comes_before_a_process(net: Net, red: Host) -> None:
    named = Path("/run/netns/1")
    named.touch()
    try:
        subprocess.run(["mount", "--bind", str(red.path), str(named)], check=True)
        with Kernel("1") as kernel:
            assert kernel.in_netns(inode) == red.path.stat().st_ino
        with Kernel(1) as kernel:
            assert kernel.in_netns(inode) == inode("/proc/1/ns/net")
        subprocess.run(["umount", str(named)], check=True)
    finally:
        named.unlink()


@pytest.mark.parametrize("netns", ["no-such", "", "..", "/no/such", "/run/netns/no-such", 2**22 + 1, str(2**22 + 1), -1])
def test_a_namespace_that_is_not_there(netns: str | int) -> None:
    with pytest.raises(NotFoundError, match="there is none"):
        Kernel(netns)


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/ns/mnt", "/proc/self/ns/user"])
def test_a_path_to_something_else(path: str) -> None:
    with pytest.raises(NotFoundError, match="not a network namespace"):
        Kernel(path)


def test_a_stale_name(net: Net) -> None:
    stale = Path("/run/netns/stale")
    stale.touch()
    try:
        with pytest.raises(NotFoundError, match="network namespace stale: not a network namespace"):
            Kernel("stale")
    finally:
        stale.unlink()


def test_a_name_may_go_while_the_door_is_open(net: Net, gutless: None) -> None:
    host = net.host("gone")
    kernel = Kernel(host.name)
    net.hosts.remove(host)
    host.remove()
    kernel.port_add(Port(PortKey(4, 6080), any_source=True))
    assert len(kernel.ports()) == 1
    assert kernel.in_netns(inode) != inode()
    kernel.close()


def test_from_many_threads_at_once(red: Host, blue: Host) -> None:
    """Threads that stand elsewhere use one door; it does not follow them."""
    with Kernel(red.name) as kernel:
        failures: list[BaseException] = []

        def use(number: int) -> None:
            try:
                for n in range(10):
                    key = PortKey(4, 7000 + 10 * number + n)
                    kernel.port_add(Port(key, any_source=True))
                    assert kernel.port(key) is not None
            except BaseException as error:  # noqa: BLE001 - handed to the test
                failures.append(error)

        threads = [threading.Thread(target=lambda n=n: blue.call(use, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(kernel.ports()) == 40
    with Kernel(blue.name) as kernel:
        assert kernel.ports() == []


def children() -> set[str]:
    """Processes of which this one is the parent."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{os.getpid()}\n" in status.read_text():
                found.add(status.parent.name)
    return found


def test_nothing_is_left_open(red: Host) -> None:
    with Kernel(red.name) as kernel:
        kernel.info()
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    before = children()
    for n in range(200):
        with Kernel(red.name) as kernel:
            kernel.device("lo")
            if n % 10 == 0:
                kernel.info()
                kernel.links()
                kernel.events()
        with pytest.raises(NotFoundError):
            Kernel("no-such")
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == threads
    assert children() == before


def test_a_door_that_is_forgotten_closes(red: Host) -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    kernel = Kernel(red.name)
    kernel.info()
    assert threading.active_count() == threads + 1
    del kernel
    wait_until(lambda: threading.active_count() == threads)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_closed_door_says_so(red: Host) -> None:
    kernel = Kernel(red.name)
    kernel.close()
    kernel.close()
    for call in (kernel.info, kernel.links, kernel.events, lambda: kernel.in_netns(inode)):
        with pytest.raises(GutctlError, match="closed"):
            call()


def test_a_fork_does_not_hang(red: Host) -> None:
    """Threads do not survive a fork: a door of the parent says so in the child instead of waiting for ever."""
    with Kernel(red.name) as kernel:
        kernel.info()
        pid = os.fork()
        if not pid:
            status = 1
            try:
                kernel.info()
            except GutctlError as error:
                status = 0 if "fork" in error.message else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert kernel.info().version


def test_the_number_of_a_namespace_leads_back_to_its_name(red: Host, blue: Host) -> None:
    with Kernel(red.name) as ours, Kernel(blue.name) as theirs:
        ours.link_add(Link("west", "sit", None, None, 4, 1, 0, 6080, alias="kept"))
        ours.link_set("west", netns=blue.name)
        assert ours.link("west") is None
        moved = theirs.link("west")
        assert moved is not None
        assert moved.alias == "kept"
        assert moved.link_netnsid is not None
        assert theirs.netns_of(moved.link_netnsid) == red.name
        assert theirs.netns_of(12345) is None
        # and without a name: that of this process
        with Kernel() as home:
            home.link_add(Link("homely", "sit", None, None, 4, 1, 0, 6081))
            home.link_set("homely", netns=str(blue.path), up=True)
        strayed = theirs.link("homely")
        assert strayed is not None
        assert strayed.up
        assert strayed.link_netnsid is not None
        path = theirs.netns_of(strayed.link_netnsid)
        assert path is not None
        assert inode(path) == inode()
        with Kernel(path) as back:
            assert back.in_netns(inode) == inode()


def test_moving_to_nowhere_moves_nothing(red: Host) -> None:
    with Kernel(red.name) as kernel:
        kernel.link_add(Link("west", "sit", None, None, 4, 1, 0, 6080))
        with pytest.raises(NotFoundError, match="network namespace no-such: there is none"):
            kernel.link_set("west", netns="no-such")
        assert kernel.link("west") is not None


def test_sysctl_is_that_of_the_namespace(red: Host, blue: Host) -> None:
    red.sysctl(ipv4__ip_forward=1)
    with Kernel(red.name) as kernel, Kernel(blue.name) as other:
        assert kernel.sysctl("net/ipv4/ip_forward") == "1"
        assert other.sysctl("net/ipv4/ip_forward") == "0"
        assert kernel.sysctl("net/ipv4/no_such") is None
        for path in ("../../etc/passwd", "net/../../../etc/passwd", "/etc/passwd", ""):
            with pytest.raises(UsageError):
                kernel.sysctl(path)


UNPRIVILEGED = """
import os, sys
os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
from gutctl.netlink import Kernel
from gutctl.errors import NotPermittedError
from gutctl.model import Port, PortKey
k = Kernel()
print(k.info().version)
for call in (k.ports, lambda: k.port_add(Port(PortKey(4, 6080), any_source=True)), k.events, lambda: Kernel(sys.argv[1])):
    try:
        call()
    except NotPermittedError as error:
        print(error.status.value, error.hint is not None)
"""


def test_without_privilege(red: Host) -> None:
    run = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, red.name], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.stderr == ""
    version, *refusals = run.stdout.split("\n", 1)
    assert version
    assert refusals == ["6 True\n" * 4]
    assert NotPermittedError.status == 6
