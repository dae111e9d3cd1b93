# SPDX-License-Identifier: Apache-2.0
"""Network namespaces as hosts, and veth pairs as the wires between them.

Everything happens inside this one process where it can, since a new program costs a tenth of a second in an emulated
guest and a new Python several: a namespace is entered by a thread, what the thread opens or starts stays in it.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shlex
import socket as sockets
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MNT_DETACH = 2
RUN = Path("/run/netns")
#: Features that must be off where a test is about checksums or segmentation: veth would pass unfinished packets on.
OFFLOADS = (
    *("rx", "tx", "gso", "tso", "gro", "sg", "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"),
    *("tx-udp-segmentation", "tx-gso-list", "rx-gro-list", "tx-sctp-segmentation"),
)
#: The columns of /proc/net/dev.
COUNTERS = (
    *("rx_bytes", "rx_packets", "rx_errors", "rx_dropped"),
    *("rx_fifo_errors", "rx_frame_errors", "rx_compressed", "multicast"),
    *("tx_bytes", "tx_packets", "tx_errors", "tx_dropped"),
    *("tx_fifo_errors", "collisions", "tx_carrier", "tx_compressed"),
)

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


class CommandError(AssertionError):
    """A command failed; the text has the command, its exit status and what it printed."""


def run(*command: str, input: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it said. Raises CommandError on failure, unless `check` is off."""
    done = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
    if check and done.returncode:
        text = f"{shlex.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        raise CommandError(text + (f"\ninput:\n{input}" if input else ""))
    return done


def in_thread(first: Callable[[], object], function: Callable[[], T]) -> T:
    """Run `first` and then `function` in a thread of their own; what `function` raises is raised here."""
    box: list[T] = []
    trouble: list[BaseException] = []

    def body() -> None:
        try:
            first()
            box.append(function())
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            trouble.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if trouble:
        # taken out: an error that this frame held would hold the frame, and with it whatever sockets were open there
        raise trouble.pop()
    return box[0]


class Host:
    """A network namespace, bound to a name under /run/netns like those of `ip netns`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = RUN / name
        self._next_device = itertools.count()

    def __repr__(self) -> str:
        return f"<host {self.name}>"

    def create(self) -> None:
        """Make the namespace, bring `lo` up, and skip duplicate address detection."""
        RUN.mkdir(parents=True, exist_ok=True)
        self.path.touch(exist_ok=False)

        def bind() -> None:
            source = f"/proc/self/task/{threading.get_native_id()}/ns/net".encode()
            _check(_libc.mount(source, bytes(self.path), b"none", MS_BIND, None), f"bind {self.path}")
            for family in ("all", "default"):
                Path(f"/proc/sys/net/ipv6/conf/{family}/accept_dad").write_text("0")

        in_thread(lambda: _check(_libc.unshare(CLONE_NEWNET), "unshare"), bind)
        self.ip("link set lo up")

    def remove(self) -> None:
        """Take the name away; the kernel clears the namespace up when its last socket and process are gone."""
        _check(_libc.umount2(bytes(self.path), MNT_DETACH), f"umount {self.path}")
        self.path.unlink()

    def enter(self) -> None:
        """Move the calling thread into this namespace (for good: use `call`)."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(descriptor, CLONE_NEWNET), f"setns {self.name}")
        finally:
            os.close(descriptor)

    def call(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call `function` in a thread inside this namespace and return what it returns."""
        return in_thread(self.enter, lambda: function(*args, **options))

    def run(self, *command: str, input: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program in the namespace (/sys stays the initial namespace's). Raises CommandError."""
        return self.call(run, *command, input=input, check=check)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program in the namespace and return it, running."""
        return self.call(subprocess.Popen, command, **options)

    def ip(self, *lines: str) -> str:
        """Run commands of ip(8), one a string, as one batch. Raises CommandError, naming the line that failed."""
        return self.run("ip", "-batch", "-", input="\n".join(lines) + "\n").stdout

    def sysctl(self, **settings: int | str) -> None:
        """Set values under /proc/sys/net, `__` standing for a slash: sysctl(ipv4__ip_forward=1)."""

        def write() -> None:
            for name, value in settings.items():
                Path("/proc/sys/net", *name.split("__")).write_text(str(value))

        self.call(write)

    def socket(self, family: int, kind: int, protocol: int = 0) -> sockets.socket:
        """A socket of this namespace; the caller closes it."""
        return self.call(sockets.socket, family, kind, protocol)

    def udp(self, address: str = "", port: int = 0, timeout: float = 5.0) -> sockets.socket:
        """A UDP socket bound to `address` (its form chooses the family; empty: any IPv4) and `port` (0: any)."""
        made = self.socket(sockets.AF_INET6 if ":" in address else sockets.AF_INET, sockets.SOCK_DGRAM)
        try:
            made.bind((address, port))
        except OSError:
            made.close()
            raise
        made.settimeout(timeout)
        return made

    def device(self) -> str:
        """The next free name: eth0, eth1 ..."""
        return f"eth{next(self._next_device)}"

    def offloads_off(self, device: str, *features: str) -> None:
        """Turn the given features off, or all that would let a packet travel unfinished."""
        wanted = features or OFFLOADS
        self.run("ethtool", "-K", device, *(word for name in wanted for word in (name, "off")))

    def counter(self, device: str, name: str) -> int:
        """A counter of a device, one of COUNTERS. Raises LookupError where there is no such device."""
        column = COUNTERS.index(name)

        def read() -> int:
            # Opened by the thread itself: /proc/net belongs to the process's first thread.
            for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
                label, _, values = line.partition(":")
                if label.strip() == device:
                    return int(values.split()[column])
            raise LookupError(f"{self.name} has no device {device}")

        return self.call(read)


class Net:
    """The hosts of one test. Their names are unique, and `close` removes all of them."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []

    def host(self, role: str = "h") -> Host:
        """A new host; `role` is the beginning of its name."""
        made = Host(f"{role}-{os.getpid()}-{next(_numbers)}")
        made.create()
        self.hosts.append(made)
        return made

    def link(
        self,
        a: Host,
        b: Host,
        a_addresses: tuple[str, ...] | list[str] = (),
        b_addresses: tuple[str, ...] | list[str] = (),
        *,
        offloads: bool = True,
        mtu: int = 1500,
        names: tuple[str, str] | None = None,
    ) -> tuple[str, str]:
        """A veth pair between two hosts, up, with addresses (CIDR, either family). Returns the two device names.

        With `offloads` off, both ends send and take only finished packets: right checksums, no longer than the MTU.
        """
        ends = names or (a.device(), b.device())
        a.ip(f"link add {ends[0]} mtu {mtu} type veth peer name {ends[1]} mtu {mtu} netns {b.name}")
        if not offloads:
            a.offloads_off(ends[0])
            b.offloads_off(ends[1])
        for host, device, addresses in ((a, ends[0], a_addresses), (b, ends[1], b_addresses)):
            lines = [f"link set {device} up"]
            for address in addresses:
                nodad = " nodad" if ":" in address else ""
                lines.append(f"addr add {address} dev {device}{nodad}")
            host.ip(*lines)
        return ends

    def close(self) -> None:
        """Remove every host, the last one first."""
        while self.hosts:
            self.hosts.pop().remove()
