# SPDX-License-Identifier: Apache-2.0
"""What was made and deleted many times leaves nothing behind, and is charged to who made it.

    a namespace with nothing but lo; raw netlink alone
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import leftovers
import pytest
from net import Host, Net, run
from rawnl import RawNetlink, Refused, key, source, u8, u16, u32
from traffic import wait_until

TIMES = 800
# A leak of one object a time is more than this
TOLERATED = 150
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def host(net: Net, gutless: None) -> Host:
    return net.host("leaks")


@pytest.fixture
def netlink(host: Host) -> Iterator[RawNetlink]:
    made = host.call(RawNetlink)
    yield made
    made.close()


def sockets(host: Host) -> dict[str, int]:
    """UDP sockets in use."""

    def read() -> dict[str, int]:
        text = Path("/proc/thread-self/net/sockstat").read_text() + Path("/proc/thread-self/net/sockstat6").read_text()
        return {name: int(count) for name, count in re.findall(r"^(UDP6?): inuse (\d+)", text, re.MULTILINE)}

    return host.call(read)


def ports(netlink: RawNetlink) -> None:
    for family in (4, 6):
        prefix = "192.0.2.0/24" if family == 4 else "2001:db8::/32"
        netlink.do("PORT_ADD", key(6000, family), source(prefix))
        netlink.do("PORT_DEL", key(6000, family))


def changes(netlink: RawNetlink) -> None:
    netlink.do("PORT_SET", key(6001), u8("A_PORT_ORIGIN", 1))
    netlink.do("PORT_SET", key(6001), u32("A_PORT_FLAGS", 1), source("10.0.0.0/8"), source("11.0.0.0/8"))


def profiles(netlink: RawNetlink) -> None:
    netlink.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", 5), u8("A_PROFILE_FORMAT", 3))
    netlink.do("PROFILE_SET", u16("A_PROFILE_NUMBER", 5), u8("A_PROFILE_CSUM", 2))
    netlink.do("PROFILE_DEL", u16("A_PROFILE_NUMBER", 5))


def refusals(netlink: RawNetlink) -> None:
    """Each gives up at another point of what it does."""
    for command, body in (
        ("PORT_ADD", key(0)),
        ("PORT_ADD", key(6001)),
        ("PORT_ADD", key(6001, 4, "127.0.0.1")),
        ("PORT_ADD", key(7, 4, "192.0.2.1")),
        ("PORT_ADD", key(7) + u8("A_PORT_ORIGIN", 9)),
        ("PORT_ADD", key(7) + source("10.0.0.1/8")),
        ("PORT_SET", key(6001) + source("10.0.0.1/8")),
        ("PORT_SET", key(6001) + source("99.0.0.0/8", "A_PORT_SOURCE_DEL")),
        ("PROFILE_ADD", u16("A_PROFILE_NUMBER", 1) + u8("A_PROFILE_FORMAT", 3)),
        ("PROFILE_ADD", u8("A_PROFILE_FORMAT", 9)),
        ("PROFILE_SET", u16("A_PROFILE_NUMBER", 1) + u8("A_PROFILE_FORMAT", 9)),
    ):
        with pytest.raises(Refused):
            netlink.do(command, body)


@pytest.mark.parametrize("what", [ports, changes, profiles, refusals])
def test_many_times(netlink: RawNetlink, host: Host, what: Callable[[RawNetlink], None]) -> None:
    netlink.do("PORT_ADD", key(6001), source("192.0.2.0/24"))
    netlink.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", 1), u8("A_PROFILE_FORMAT", 3))
    what(netlink)
    used = sockets(host)
    state = [len(attributes) for _, attributes in netlink.state()]
    before = leftovers.held()
    for _ in range(TIMES if what is not refusals else TIMES // 4):
        what(netlink)
    leftovers.wait_for_none(before, TOLERATED, 256)
    assert sockets(host) == used
    assert [len(attributes) for _, attributes in netlink.state()] == state


def test_namespaces_with_ports(gutless: None) -> None:
    """25 namespaces, each deleted with 20 ports and 20 profiles in it."""

    def one() -> None:
        net = Net()
        netlink = net.host("gone").call(RawNetlink)
        for number in range(6000, 6020):
            netlink.do("PORT_ADD", key(number), source("192.0.2.0/24"))
            netlink.do("PROFILE_ADD", u8("A_PROFILE_FORMAT", 3))
        netlink.close()
        net.close()

    one()
    before = leftovers.held()
    for _ in range(25):
        one()
    # a leak of one object a port, or of one profile, is 500
    leftovers.wait_for_none(before, 250, 1024, 30)


def test_memory_is_charged_to_who_asks(gutless: None, net: Net) -> None:
    """100 ports of 1,000 sources appear in the memory of the control group, and are gone from it afterwards."""
    controllers = (CGROUPS / "cgroup.controllers").read_text().split()
    assert "memory" in controllers, f"the guest has cgroup2 without memory: {controllers}"
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    group = CGROUPS / "charged"
    group.mkdir()
    host = net.host("charged")
    sources = [source(f"10.{i >> 8}.{i & 255}.0/24") for i in range(1000)]
    home = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2]

    def charged() -> int:
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(stat["slab"]) + int(stat["percpu"]) + int(stat["vmalloc"])

    try:
        netlink = host.call(RawNetlink)
        (group / "cgroup.procs").write_text(str(os.getpid()))
        before = charged()
        for number in range(6000, 6100):
            netlink.do("PORT_ADD", key(number), *sources)
        (CGROUPS / home.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        grown = charged() - before
        assert grown > 100 * 1000 * 20, f"{grown} octets charged for 100,000 prefixes of 20 octets"
        for number in range(6000, 6100):
            netlink.do("PORT_DEL", key(number))
        wait_until(lambda: charged() - before < grown // 10, 15, "the charge gone")
        netlink.close()
    finally:
        (CGROUPS / home.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        run("rmdir", str(group), check=False)


def test_sockets_of_ports_are_those_of_the_namespace(netlink: RawNetlink, host: Host) -> None:
    """A port is one UDP socket of its family, and no file of anybody's."""
    files = len(os.listdir("/proc/self/fd"))
    used = sockets(host)
    netlink.do("PORT_ADD", key(6005))
    netlink.do("PORT_ADD", key(6005, 6))
    assert sockets(host) == {name: count + 1 for name, count in used.items()}
    assert len(os.listdir("/proc/self/fd")) == files
    netlink.do("PORT_DEL", key(6005))
    netlink.do("PORT_DEL", key(6005, 6))
    assert sockets(host) == used
    host.udp("0.0.0.0", 6005).close()
