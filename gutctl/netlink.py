# SPDX-License-Identifier: Apache-2.0
"""The one door to the kernel: the families ``gutless`` and ``fou``, and rtnetlink's links.

Pure transport, no policy. ``Kernel`` is synchronous, ``AsyncKernel`` has the
same calls to be awaited. Either works in one network namespace, through one
thread of its own that stands in it; both may be called from any thread and
inside a running asyncio loop (``Kernel`` then blocks the loop for the length of
the call). pyroute2 is not imported before the first Kernel is made.

Every refusal is a ``gutctl.errors.GutctlError`` whose message is what was asked
for and the kernel's own sentence, whose kind follows the errno, and which keeps
the errno in ``errno``: EEXIST a ConflictError, EADDRINUSE an InUseError, ENOENT
and ENODEV a NotFoundError, EPERM a NotPermittedError, EOPNOTSUPP or a family or
kind that is missing an UnsupportedError. A refused request changes nothing.
"""

from __future__ import annotations

import copy
import os
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from gutctl._nl import netns as _netns
from gutctl._nl import proc as _proc
from gutctl._nl.aio import AsyncKernel
from gutctl._nl.control import ControlStream
from gutctl._nl.delivered import OptionStream
from gutctl._nl.events import Event, EventStream, Lost
from gutctl._nl.worker import Worker, in_thread
from gutctl.delivered import DeliveredOption, LostOptions
from gutctl.model import (
    Accept,
    Address,
    Answer,
    GueFields,
    Info,
    Key,
    Link,
    Module,
    Network,
    OnPath,
    Origin,
    Port,
    PortKey,
    Profile,
    ProfileChange,
    ReceiveRule,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from gutctl._nl.session import Session
    from gutctl._nl.stream import Stream

__all__ = [
    "AsyncKernel",
    "ControlStream",
    "DeliveredOption",
    "Event",
    "EventStream",
    "Kernel",
    "Lost",
    "LostOptions",
    "OptionStream",
]

T = TypeVar("T")


def _shut(worker: Worker, fd: int, holder: list[Session]) -> None:
    def last() -> None:
        if holder:
            holder[0].close()
        os.close(fd)

    worker.stop(last)


class Kernel:
    """The kernel, as one network namespace sees it.

    Args:
        netns: a name in /run/netns, a path, a process id (int or decimal
            string); None: that of the calling thread.
        module: whose ports and profiles are meant: those of gutless, or of the
            kernel's own module fou, which has no profiles, no events, cannot
            change a port, and refuses the rest with less of a reason.

    Raises:
        NotFoundError: there is no such namespace.
        NotPermittedError: it may not be entered.
    """

    def __init__(self, netns: str | int | None = None, module: Module = Module.GUTLESS) -> None:
        self.module = module
        self._prepare(netns)
        try:
            self._entered.result()
        except BaseException:
            self.close()
            raise

    def _prepare(self, netns: str | int | None) -> None:
        """Start the thread, which enters the namespace and imports pyroute2, and do not wait for it."""
        fd = _netns.open_netns(netns)
        what = "network namespace" if netns is None else f"network namespace {netns}"
        holder: list[Session] = []
        worker = Worker()

        def enter() -> None:
            from gutctl._nl.session import Session

            _netns.enter_if_needed(fd, what)
            holder.append(Session())

        self._fd = fd
        self._holder = holder
        self._worker = worker
        self._first: Kernel | None = None
        self._streams: weakref.WeakSet[Stream[Any]] = weakref.WeakSet()
        self._finalizer = weakref.finalize(self, _shut, worker, fd, holder)
        # at the end of the process the system closes everything, and nobody waits for a thread
        self._finalizer.atexit = False
        self._entered = worker.submit(enter)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def using(self, module: Module) -> Self:
        """The same door, namespace and thread, with ports and profiles of that module. Closing either closes both."""
        if module is self.module:
            return self
        other = copy.copy(self)
        other.module = module
        # the finalizer is the first one's, which so lives as long as the other
        other._first = self
        return other

    def close(self) -> None:
        """End event streams, close sockets, end the thread. Idempotent."""
        for stream in list(self._streams):
            stream.close()
        self._finalizer()
        self._worker.join()

    def _submit(self, fn: Callable[[Session], T]) -> Future[T]:
        holder, entered = self._holder, self._entered

        def work() -> T:
            # it has been tried: jobs run in order
            entered.result()
            return fn(holder[0])

        return self._worker.submit(work)

    def _run(self, fn: Callable[[Session], T]) -> T:
        return self._submit(fn).result()

    # The family

    def info(self) -> Info:
        """What the loaded module is and allows. Needs no privilege."""
        return self._run(lambda s: s.ports_of(self.module).info())

    def port_add(self, port: Port) -> None:
        """Open a port.

        Raises:
            ConflictError: a port of that key is there.
            InUseError: another socket, or a port that overlaps, has the number.
        """
        self._run(lambda s: s.ports_of(self.module).port_add(port))

    def port_set(
        self,
        key: PortKey,
        *,
        accept: frozenset[Accept] | None = None,
        fou_protocol: int | None = None,
        inner: frozenset[int] | None = None,
        any_source: bool | None = None,
        add_sources: Iterable[Network] = (),
        remove_sources: Iterable[Network] = (),
        replace_sources: Iterable[Network] | None = None,
        zero_csum6: bool | None = None,
        remcsum_nopartial: bool | None = None,
        rules: Iterable[ReceiveRule] = (),
        remove_rules: Iterable[int] = (),
        keys: Iterable[Key] = (),
        remove_keys: Iterable[int] = (),
        require_auth: bool | None = None,
        answers: frozenset[Answer] | None = None,
        verify_headers: bool | None = None,
        origin: Origin | None = None,
        gue: GueFields | None = None,
    ) -> None:
        """Change a port while it runs; what is not given stays. All in one step.

        A rule takes the place of the one for its type; one that is the same keeps its counters. A key takes the
        place of the one of its id; one that is the same goes on where it was.

        Raises:
            NotFoundError: no such port, or a prefix to remove is not among its sources, or there is
                no rule for a type of ``remove_rules``, or no key of an id of ``remove_keys``.
        """
        change = {
            "accept": accept,
            "fou_protocol": fou_protocol,
            "inner": inner,
            "any_source": any_source,
            "add_sources": tuple(add_sources),
            "remove_sources": tuple(remove_sources),
            "replace_sources": None if replace_sources is None else tuple(replace_sources),
            "zero_csum6": zero_csum6,
            "remcsum_nopartial": remcsum_nopartial,
            "rules": tuple(rules),
            "remove_rules": tuple(remove_rules),
            "keys": tuple(keys),
            "remove_keys": tuple(remove_keys),
            "require_auth": require_auth,
            "answers": answers,
            "verify_headers": verify_headers,
            "origin": origin,
            "gue": gue,
        }
        self._run(lambda s: s.ports_of(self.module).port_set(key, change))

    def port_del(self, key: PortKey) -> None:
        """Close a port. NotFoundError when there is none."""
        self._run(lambda s: s.ports_of(self.module).port_del(key))

    def port(self, key: PortKey) -> Port | None:
        """One port with all its sources, None when there is none."""
        return self._run(lambda s: s.ports_of(self.module).port(key))

    def ports(self) -> list[Port]:
        """All ports of the namespace, sorted by key."""
        return self._run(lambda s: s.ports_of(self.module).ports())

    def profile_add(self, profile: Profile) -> Profile:
        """Make a profile and return it as it is, with its number where 0 was asked for.

        Raises:
            ConflictError: the number is taken.
        """
        return self._run(lambda s: s.ports_of(self.module).profile_add(profile))

    def profile_set(self, number: int, **change: Unpack[ProfileChange]) -> None:
        """Change a profile while it runs; what is not given stays. NotFoundError when there is none."""
        self._run(lambda s: s.ports_of(self.module).profile_set(number, dict(change)))

    def profile_del(self, number: int) -> None:
        """Delete a profile; links that name it drop what they would send. NotFoundError when there is none."""
        self._run(lambda s: s.ports_of(self.module).profile_del(number))

    def profile(self, number: int) -> Profile | None:
        """One profile, None when there is none."""
        return self._run(lambda s: s.ports_of(self.module).profile(number))

    def profiles(self) -> list[Profile]:
        """All profiles of the namespace, by number."""
        return self._run(lambda s: s.ports_of(self.module).profiles())

    def onpath_set(self, ifindex: int, *, min_path_mtu: bool | None = None, ports: Iterable[int] | None = None) -> None:
        """Say what a device does with GUT-less packets that are forwarded and leave by it; what is not given stays.

        Args:
            min_path_mtu: lower option 0x30 to the MTU of the way; False: the device does nothing any more.
            ports: UDP destinations looked at, 1 to 8; 6080 unless told.

        Raises:
            NotFoundError: no such device.
        """
        change = {"min_path_mtu": min_path_mtu, "ports": None if ports is None else tuple(ports)}
        self._run(lambda s: s.gutless.onpath_set(ifindex, change))

    def onpath(self, ifindex: int) -> OnPath:
        """What a device does on the path. NotFoundError when there is no such device."""
        return self._run(lambda s: s.gutless.onpath(ifindex))

    def onpaths(self) -> list[OnPath]:
        """All devices that do something on the path, by number."""
        return self._run(lambda s: s.gutless.onpaths())

    # rtnetlink

    def links(self) -> list[Link]:
        """Links of the kinds sit, ipip, ip6tnl, gre, gretap, ip6gre, ip6gretap. Two dumps, however many."""
        return self._run(lambda s: s.route.links())

    def link(self, name: str) -> Link | None:
        """A link of whatever kind, None when the name is free."""
        return self._run(lambda s: s.route.link(name))

    def link_add(self, link: Link) -> None:
        """Make a tunnel link, down, without addresses (``up`` and ``addresses`` are not looked at).

        Raises:
            ConflictError: the name is taken, or the kind has such a tunnel.
            UnsupportedError: the kernel lacks the kind or the encapsulation.
        """
        self._run(lambda s: s.route.link_add(link))

    def link_set(
        self,
        name: str,
        *,
        mtu: int | None = None,
        up: bool | None = None,
        alias: str | None = None,
        gso_segments: int | None = None,
        netns: str | int | None = None,
    ) -> None:
        """Change MTU (octets), state, alias; move it to another namespace (as in the constructor)."""
        self._run(lambda s: s.route.link_set(name, mtu, up, alias, gso_segments, netns))

    def link_change(self, link: Link) -> None:
        """Change a tunnel to what the record says in full, with its alias, and its MTU unless None.

        The kernel clears the encapsulation of a running link for a moment, and for good when it
        refuses the new one: take the link down first.
        """
        self._run(lambda s: s.route.link_change(link))

    def link_del(self, name: str) -> None:
        """Delete a link. NotFoundError when there is none."""
        self._run(lambda s: s.route.link_del(name))

    def address_add(self, name: str, cidr: str) -> None:
        """Give a device an address; one of IPv6 without duplicate address detection."""
        self._run(lambda s: s.route.address_add(name, cidr))

    def address_del(self, name: str, cidr: str) -> None:
        """Take an address from a device."""
        self._run(lambda s: s.route.address_del(name, cidr))

    def route_mtu(self, remote: Address, *, mark: int = 0) -> tuple[int, str, Address]:
        """Path MTU known now (octets), device and source address towards a remote address.

        The MTU is that of the route or of what ICMP has taught, else the device's.

        Raises:
            NotFoundError: no route.
        """
        return self._run(lambda s: s.route.route_mtu(remote, mark))

    def local_addresses(self) -> set[Address]:
        """All addresses of all devices."""
        return self._run(lambda s: s.route.local_addresses())

    def device(self, name: str) -> int:
        """Number of a device. NotFoundError when there is none."""
        return self._run(lambda s: s.route.device(name))

    def device_name(self, ifindex: int) -> str | None:
        """Name of a device, None when there is none."""
        return self._run(lambda s: s.route.device_name(ifindex))

    def netns_of(self, nsid: int) -> str | None:
        """Name or path of the namespace that has this number here (``Link.link_netnsid``).

        Looks at named ones, that of this process and that of process 1; None when it is none of these.
        """
        return self._run(lambda s: s.netns_of(nsid))

    def sysctl(self, path: str) -> str | None:
        """Value of a sysctl, such as ``net/ipv4/conf/all/rp_filter``, None when there is none."""
        return self._run(lambda s: _proc.sysctl(path))

    def udp_port_owner(self, family: int, port: int) -> str | None:
        """``name, pid N`` of the process that holds a UDP port (family 4 or 6), None: nobody or the kernel."""
        return self._run(lambda s: _proc.udp_port_owner(family, port))

    def in_netns(self, fn: Callable[[], T]) -> T:
        """Run ``fn`` in a fresh thread that stands in the namespace; it may take its time."""
        return self._in_netns(fn).result()

    def _in_netns(self, fn: Callable[[], T]) -> Future[T]:
        # a copy, taken while the original is sure to be open
        fd = self._worker.run(lambda: os.dup(self._fd))

        def enter_and_run() -> T:
            try:
                _netns.enter_if_needed(fd)
            finally:
                os.close(fd)
            return fn()

        return in_thread(enter_and_run)

    def events(self, *, ready: Callable[[], None] | None = None) -> EventStream:
        """Ports, profiles and devices on the path that are added, changed, deleted from now on, by whomever.

        An iterator that blocks; it ends when it or this Kernel is closed (from another thread), and
        at a KeyboardInterrupt. It yields ``Lost`` where the kernel had to drop events. Needs
        CAP_NET_ADMIN.

        Args:
            ready: called once events are being received.
        """
        stream = self._run(lambda s: s.events(self.module))
        self._streams.add(stream)
        if ready is not None:
            ready()
        return stream

    def options(self, *, ready: Callable[[], None] | None = None) -> OptionStream:
        """Options that the namespace's ports deliver from now on; :func:`gutctl.ext_api.watch` makes values of them.

        As ``events``, but where the kernel had to drop some it yields ``LostOptions`` with their number, before
        the next one. Needs CAP_NET_ADMIN.

        Raises:
            UnsupportedError: the loaded module delivers none.
        """
        stream = self._run(lambda s: s.options(self.module))
        self._streams.add(stream)
        if ready is not None:
            ready()
        return stream

    def echo(
        self, key: PortKey, peer: Address, peer_port: int, body: bytes, options: bytes = b"", *, ifindex: int = 0
    ) -> int:
        """Send an echo request from a port; the answer comes to ``control``.

        Args:
            body: id, sequence, data (``encap.Echo.encode``); 4 octets at least.
            options: the option area, whole words.
            ifindex: the device by which a link-local peer is reached.

        Returns:
            When it went, nanoseconds of CLOCK_REALTIME since 1970.

        Raises:
            NotFoundError: no such port, or no way to the peer.
            NotPermittedError: the port would not let the answer in, or CAP_NET_ADMIN is missing.
        """
        return self._run(lambda s: s.gutless.echo(key, peer, peer_port, body, options, ifindex))

    def control(self) -> ControlStream:
        """Echo replies and reports that come to any port from now on; as ``events``, without ``ready``. Needs CAP_NET_ADMIN."""
        stream = self._run(lambda s: s.control(self.module))
        self._streams.add(stream)
        return stream
