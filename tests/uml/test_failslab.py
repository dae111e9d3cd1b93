# SPDX-License-Identifier: Apache-2.0
"""Memory runs out at every single allocation of every command: an errno, nothing changed, nothing held, no complaint.

    a namespace with nothing but lo; raw netlink alone, and a listener to the events

The first allocation of a request is made to fail, then the second, and so on until the request gets through.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import faults
import kernel_log
import leftovers
import live
import modules
import pytest
from kernel_log import KernelLog
from net import CLONE_NEWNET, Host, Net
from rawnl import (
    CTRL_CMD_GETFAMILY,
    CTRL_FAMILY_NAME,
    GENL_ID_CTRL,
    NETLINK_GENERIC,
    NLM_F_ACK,
    NLM_F_DUMP,
    SOL_NETLINK,
    RawNetlink,
    Refused,
    attr,
    be16,
    key,
    n,
    nest,
    numbers,
    source,
    split,
    u8,
    u16,
    u32,
)

REFUSALS = {errno.ENOMEM, errno.ENOBUFS, errno.ENFILE}
"""What a request is told that fails for want of memory: ENOBUFS by the netlink socket itself, ENFILE where the kernel
makes the socket of a port (its word for an inode that it has no memory for)."""
MOST = 400
_libc = ctypes.CDLL(None, use_errno=True)
FINIT_MODULE = 313
LAST, LAST_OF_EACH = 20, 8
"""Allocations of loading that are tried, from the last one backwards: so many, and so many for each namespace there is (what
the module keeps of it, and two events to its listeners); in a short run every third."""


@dataclass
class Case:
    """A command, what there is before it, and how it is undone."""

    command: str
    body: bytes = b""
    flags: int = NLM_F_ACK
    undo: list[tuple[str, bytes]] = field(default_factory=list)
    least: int = 3
    """Allocations that it makes at the least, else the test shows nothing."""


MANY = b"".join(source(f"10.0.{i}.0/24") for i in range(200))
OPEN = key(6001) + u8("A_PORT_ANY_SOURCE", 1) + source("192.0.2.0/24")
AS_IT_WAS = key(6001) + u8("A_PORT_ANY_SOURCE", 1) + u32("A_PORT_FLAGS", 1) + source("192.0.2.0/24")
ONE = u16("A_PROFILE_NUMBER", 1)
SHORTEST = u8("A_PROFILE_FORMAT", 3)
LO, IDLE = u32("A_DEVICE_IFINDEX", 1), u32("A_DEVICE_IFINDEX", 9)
ON, OFF = u32("A_DEVICE_ONPATH", 1), u32("A_DEVICE_ONPATH", 0)
SEVEN, EIGHT = (attr(n("A_DEVICE_PORTS"), bytes((0, number))) for number in (7, 8))
SECRET = u16("A_KEY_ID", 1) + attr(n("A_KEY_SECRET"), bytes(range(32)))
GUE = u32("A_GUE_GROUP", 7) + attr(n("A_GUE_COOKIE"), bytes(range(1, 9)))
AUTH = attr(n("A_PROFILE_OPTIONS"), bytes((0x58, 4, 0, 0, 0, 7, 0x5B, 26, 0, 1)) + bytes(24 + 2))
FROM = u8("A_CONTROL_FAMILY", 2) + be16("A_CONTROL_PORT", 6001) + attr(n("A_CONTROL_PEER_V4"), bytes((127, 0, 0, 1)))
PORT_6000 = [("PORT_DEL", key(6000))]
PROFILE_9 = [("PROFILE_DEL", u16("A_PROFILE_NUMBER", 9 << 8 | 9))]


def rule(number: int, action: str) -> bytes:
    return nest("A_PORT_OPTION_RULE", u8("A_OPTION_RULE_TYPE", number), u8("A_OPTION_RULE_ACTION", n("OPTION_ACTION_" + action)))


CASES = {
    "info-get": Case("INFO_GET"),
    "port-add": Case("PORT_ADD", key(6000) + source("192.0.2.0/24"), undo=[("PORT_DEL", key(6000))], least=8),
    "port-add-6": Case("PORT_ADD", key(6000, 6) + source("2001:db8::/32"), undo=[("PORT_DEL", key(6000, 6))], least=8),
    "port-add-many": Case("PORT_ADD", key(6000) + MANY, undo=[("PORT_DEL", key(6000))], least=8),
    "port-set": Case("PORT_SET", key(6001) + u8("A_PORT_ANY_SOURCE", 0) + MANY, undo=[("PORT_SET", AS_IT_WAS)]),
    "port-add-rules": Case("PORT_ADD", key(6000) + rule(0x58, "REQUIRE") + rule(0x1C, "DROP"), undo=PORT_6000, least=8),
    "port-set-rules": Case("PORT_SET", key(6001) + rule(0x58, "IGNORE"), undo=[("PORT_SET", key(6001) + rule(0x58, "NONE"))]),
    "port-add-keys": Case("PORT_ADD", key(6000) + nest("A_PORT_KEY", SECRET), undo=PORT_6000, least=10),
    "port-set-keys": Case(
        "PORT_SET", key(6001) + nest("A_PORT_KEY", SECRET), undo=[("PORT_SET", key(6001) + u16("A_PORT_KEY_DEL", 1))], least=5
    ),
    "port-add-gue": Case("PORT_ADD", key(6000) + nest("A_PORT_GUE", GUE), undo=PORT_6000, least=8),
    "port-add-verifier": Case("PORT_ADD", key(6000) + u8("A_PORT_VERIFY_HEADERS", 1), undo=PORT_6000, least=9),
    "port-del": Case("PORT_DEL", key(6001), undo=[("PORT_ADD", OPEN)]),
    "port-get": Case("PORT_GET", key(6001)),
    "port-dump": Case("PORT_GET", flags=NLM_F_DUMP),
    "profile-add": Case("PROFILE_ADD", u16("A_PROFILE_NUMBER", 9) + SHORTEST, undo=[("PROFILE_DEL", u16("A_PROFILE_NUMBER", 9))]),
    "profile-add-auth": Case(
        "PROFILE_ADD", u16("A_PROFILE_NUMBER", 9 << 8 | 9) + SHORTEST + AUTH + nest("A_PROFILE_KEY", SECRET), undo=PROFILE_9, least=5
    ),
    "profile-add-gue": Case(
        "PROFILE_ADD", u16("A_PROFILE_NUMBER", 9 << 8 | 9) + u8("A_PROFILE_FORMAT", 2) + nest("A_PROFILE_GUE", GUE), undo=PROFILE_9
    ),
    "profile-set": Case("PROFILE_SET", ONE + u8("A_PROFILE_CSUM", 2), undo=[("PROFILE_SET", ONE + u8("A_PROFILE_CSUM", 1))]),
    "profile-del": Case("PROFILE_DEL", ONE, undo=[("PROFILE_ADD", ONE + SHORTEST)]),
    "profile-get": Case("PROFILE_GET", ONE),
    "profile-dump": Case("PROFILE_GET", flags=NLM_F_DUMP),
    "device-on": Case("DEVICE_SET", IDLE + ON, undo=[("DEVICE_SET", IDLE + OFF)]),
    "device-change": Case("DEVICE_SET", LO + SEVEN, undo=[("DEVICE_SET", LO + EIGHT)]),
    "device-off": Case("DEVICE_SET", LO + OFF, undo=[("DEVICE_SET", LO + ON + EIGHT)]),
    "device-get": Case("DEVICE_GET", LO),
    "device-dump": Case("DEVICE_GET", flags=NLM_F_DUMP),
    "echo": Case("ECHO", FROM + be16("A_CONTROL_PEER_PORT", 9) + attr(n("A_CONTROL_BODY"), bytes(8))),
}


@pytest.fixture(autouse=True)
def quiet(watched_log: KernelLog) -> Iterator[None]:
    faults.quiet()
    kernel_log.write(kernel_log.FAULTS)
    yield
    kernel_log.write(kernel_log.FAULTS_OVER)


@pytest.fixture(scope="module")
def host(module_net: Net, gutless: None) -> Host:
    made = module_net.host("failslab")
    made.ip("link set lo up")
    netlink = made.call(RawNetlink)
    netlink.do("PORT_ADD", OPEN)
    netlink.do("PROFILE_ADD", ONE, SHORTEST)
    netlink.do("DEVICE_SET", LO, ON + EIGHT)
    made.ip("link add idle index 9 type dummy")
    netlink.close()
    # what earlier tests have left behind is still on its way out
    live.settled()
    return made


def test_every_command_has_a_case() -> None:
    commands = {name for name in numbers() if name.startswith("CMD_") and not name.endswith("_NTF")}
    tried = {"CMD_" + case.command for case in CASES.values()}
    assert {name for name in commands if name not in ("CMD_UNSPEC", "CMD_MAX")} == tried


class Listener:
    """Hears the family's events."""

    NETLINK_ADD_MEMBERSHIP = 1
    CTRL_MCAST_GROUPS, CTRL_MCAST_NAME, CTRL_MCAST_ID = 7, 1, 2

    def __init__(self) -> None:
        netlink = RawNetlink()
        (reply,) = netlink.ask(CTRL_CMD_GETFAMILY, attr(CTRL_FAMILY_NAME, b"gutless\0"), family=GENL_ID_CTRL)
        netlink.close()
        groups = next(data for kind, data in reply.attributes if kind == self.CTRL_MCAST_GROUPS)
        found = [dict(split(data)) for _, data in split(groups)]
        (group,) = [one[self.CTRL_MCAST_ID] for one in found if one[self.CTRL_MCAST_NAME] == b"events\0"]
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_GENERIC)
        self.socket.bind((0, 0))
        self.socket.setsockopt(SOL_NETLINK, self.NETLINK_ADD_MEMBERSHIP, struct.unpack("=I", group)[0])

    def told(self) -> tuple[int, bool]:
        """Events since the last look, and whether any were lost, which the kernel says by ENOBUFS."""
        events, lost = 0, False
        while True:
            try:
                self.socket.recv(1 << 16)
                events += 1
            except BlockingIOError:
                return events, lost
            except OSError as error:
                assert error.errno == errno.ENOBUFS, error
                lost = True


class Attempt:
    """One request with one allocation failing, and what came of it."""

    def __init__(self, netlink: RawNetlink, case: Case, number: int) -> None:
        sent, self.failed = faults.nth(number, lambda: netlink.send(n("CMD_" + case.command), case.body, case.flags))
        self.error = 0
        if isinstance(sent, OSError):
            self.error = sent.errno or 0
            return
        netlink.over = False
        try:
            while not netlink.over:
                netlink.parts(sent)
        except Refused as refusal:
            self.error = refusal.errno or 0
        except OSError as error:
            self.error = error.errno or 0


@pytest.mark.parametrize("name", CASES)
def test_every_allocation(host: Host, name: str) -> None:
    case = CASES[name]

    def body() -> tuple[int, int]:
        # the request's own thread, since faults are of a thread
        watcher = RawNetlink()
        before = watcher.state()
        watcher.do(case.command, case.body) if case.flags == NLM_F_ACK else watcher.dump(case.command, case.body)
        after = watcher.state()
        undo(watcher, case)
        assert watcher.state() == before, "the test does not undo what it does"
        held = live.settled()
        listener = Listener()
        refused = 0
        for number in range(1, MOST):
            # a fresh socket: one that has failed keeps the error for its next read
            netlink = RawNetlink()
            attempt = Attempt(netlink, case, number)
            netlink.close()
            now = watcher.state()
            events, lost = listener.told()
            if now == before:
                assert not events or before == after, f"allocation {number}: told of a change that was not made"
            else:
                assert events or lost, f"allocation {number}: a change of which nobody is told, nor that he missed it"
            if attempt.error:
                refused += 1
                assert attempt.failed, f"refused without a fault: errno {attempt.error}"
                assert attempt.error in REFUSALS, f"allocation {number}: {os.strerror(attempt.error)}"
                # the answer itself may be what there was no memory for
                assert now == before or attempt.error == errno.ENOBUFS and now == after, f"half done at allocation {number}"
            else:
                assert now == after, f"allocation {number}: success was told, and it is not done"
            if now != before:
                undo(watcher, case)
                listener.told()
            assert watcher.state() == before
            if not attempt.failed:
                listener.socket.close()
                live.wait_for(held, nodes=False)
                watcher.close()
                return number - 1, refused
        raise AssertionError(f"more than {MOST} allocations")

    allocations, refused = host.call(body)
    print(f"\n{name}: {allocations} allocations, {refused} refusals")
    assert allocations >= case.least


def undo(netlink: RawNetlink, case: Case) -> None:
    for command, body in case.undo:
        netlink.do(command, body)


def test_namespace_creation(net: Net, gutless: None) -> None:
    """The module's part of making a namespace is among the last: each allocation of those fails once."""

    def unshare() -> None:
        if _libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")

    made: list[tuple[BaseException | None | OSError, bool]] = []
    counted: list[int] = []

    def thread(function: Callable[[], None]) -> None:
        one = threading.Thread(target=function)
        one.start()
        one.join()

    thread(lambda: counted.append(faults.count(unshare)))
    assert counted
    before = live.settled()
    for number in range(max(1, counted[0] - 60), counted[0] + 1):
        thread(lambda number=number: made.append(faults.nth(number, unshare)))  # type: ignore[misc]
    refused = [result for result, _ in made if isinstance(result, OSError)]
    assert len(made) == min(61, counted[0]) and len(refused) > 20, f"of {len(made)} refused: {len(refused)}"
    assert {error.errno for error in refused} <= {errno.ENOMEM, errno.ENOBUFS}
    live.wait_for(before)


@pytest.fixture
def unloaded(gutless: None) -> Iterator[None]:
    modules.unload()
    yield
    if not modules.loaded():
        modules.load()


def test_module_load(unloaded: None, short: bool) -> None:
    """The module's own part of its loading, with three namespaces more than the first, is the last: each allocation of it fails once.

    What comes before is the kernel's, which this one does not survive everywhere.
    """
    net = Net()
    for _ in range(3):
        net.host("load")
    # a pass without faults, for what stays from the first one
    modules.load()
    modules.unload()
    descriptor = os.open(modules.GUTLESS, os.O_RDONLY | os.O_CLOEXEC)

    def load() -> None:
        if _libc.syscall(FINIT_MODULE, descriptor, b"", 0):
            raise OSError(ctypes.get_errno(), "finit_module")

    areas = live.settled()["percpu areas"]
    refused = 0
    # also those of other tests, which are still being cleared up
    namespaces = leftovers.held().objects["net_namespace"]
    assert namespaces >= 4
    try:
        allocations = faults.count(load)
        modules.unload()
        tried = range(max(1, allocations - LAST - LAST_OF_EACH * namespaces), allocations + 1, 3 if short else 1)
        for number in tried:
            kernel_log.write(f"loading: allocation {number} of {allocations}")
            result, _ = faults.nth(number, load)
            if isinstance(result, OSError):
                refused += 1
                assert result.errno == errno.ENOMEM, f"allocation {number}: {result}"
                assert not modules.loaded(), f"allocation {number}: refused, and there all the same"
            else:
                modules.unload()
        print(f"\n{allocations} allocations, {refused} refusals")
        # what each of the namespaces gets, and the profile in it
        assert refused >= (2 if short else 2 * 4)
    finally:
        os.close(descriptor)
        net.close()
    modules.load()
    modules.unload()
    assert live.objects()["percpu areas"] <= areas
