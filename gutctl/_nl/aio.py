# SPDX-License-Identifier: Apache-2.0
"""The door to the kernel for asyncio programs."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from gutctl.delivered import DeliveredOption, LostOptions
from gutctl.model import (
    Accept,
    Address,
    Answer,
    ControlMessage,
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

from . import proc
from .events import Event, Lost

if TYPE_CHECKING:
    from .session import Session

__all__ = ["AsyncKernel"]

T = TypeVar("T")


class AsyncKernel:
    """``gutctl.netlink.Kernel`` with every call to be awaited; see there for what the calls do.

    Nothing blocks the loop: requests are made in a thread of this object's own,
    one after the other. A call that is cancelled before its turn is not made; one
    that is under way is made, and what it returns is lost.

    Raises:
        NotFoundError: there is no such namespace.
    """

    def __init__(self, netns: str | int | None = None, module: Module = Module.GUTLESS) -> None:
        from gutctl.netlink import Kernel

        self.module = module
        self._kernel = Kernel.__new__(Kernel)
        self._kernel.module = module
        self._kernel._prepare(netns)

    def using(self, module: Module) -> Self:
        """The same door, namespace and thread, with ports and profiles of that module. Closing either closes both."""
        if module is self.module:
            return self
        other = copy.copy(self)
        other.module = module
        other._kernel = self._kernel.using(module)
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End event streams, close sockets, end the thread. Idempotent."""
        await asyncio.to_thread(self._kernel.close)

    async def _run(self, fn: Callable[[Session], T]) -> T:
        return await asyncio.wrap_future(self._kernel._submit(fn))

    async def info(self) -> Info:
        return await self._run(lambda s: s.ports_of(self.module).info())

    async def port_add(self, port: Port) -> None:
        await self._run(lambda s: s.ports_of(self.module).port_add(port))

    async def port_set(
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
        change: dict[str, Any] = {
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
        await self._run(lambda s: s.ports_of(self.module).port_set(key, change))

    async def port_del(self, key: PortKey) -> None:
        await self._run(lambda s: s.ports_of(self.module).port_del(key))

    async def port(self, key: PortKey) -> Port | None:
        return await self._run(lambda s: s.ports_of(self.module).port(key))

    async def ports(self) -> list[Port]:
        return await self._run(lambda s: s.ports_of(self.module).ports())

    async def profile_add(self, profile: Profile) -> Profile:
        return await self._run(lambda s: s.ports_of(self.module).profile_add(profile))

    async def profile_set(self, number: int, **change: Unpack[ProfileChange]) -> None:
        await self._run(lambda s: s.ports_of(self.module).profile_set(number, dict(change)))

    async def profile_del(self, number: int) -> None:
        await self._run(lambda s: s.ports_of(self.module).profile_del(number))

    async def profile(self, number: int) -> Profile | None:
        return await self._run(lambda s: s.ports_of(self.module).profile(number))

    async def profiles(self) -> list[Profile]:
        return await self._run(lambda s: s.ports_of(self.module).profiles())

    async def onpath_set(
        self, ifindex: int, *, min_path_mtu: bool | None = None, ports: Iterable[int] | None = None
    ) -> None:
        change: dict[str, Any] = {"min_path_mtu": min_path_mtu, "ports": None if ports is None else tuple(ports)}
        await self._run(lambda s: s.gutless.onpath_set(ifindex, change))

    async def onpath(self, ifindex: int) -> OnPath:
        return await self._run(lambda s: s.gutless.onpath(ifindex))

    async def onpaths(self) -> list[OnPath]:
        return await self._run(lambda s: s.gutless.onpaths())

    async def links(self) -> list[Link]:
        return await self._run(lambda s: s.route.links())

    async def link(self, name: str) -> Link | None:
        return await self._run(lambda s: s.route.link(name))

    async def link_add(self, link: Link) -> None:
        await self._run(lambda s: s.route.link_add(link))

    async def link_set(
        self,
        name: str,
        *,
        mtu: int | None = None,
        up: bool | None = None,
        alias: str | None = None,
        gso_segments: int | None = None,
        netns: str | int | None = None,
    ) -> None:
        await self._run(lambda s: s.route.link_set(name, mtu, up, alias, gso_segments, netns))

    async def link_change(self, link: Link) -> None:
        await self._run(lambda s: s.route.link_change(link))

    async def link_del(self, name: str) -> None:
        await self._run(lambda s: s.route.link_del(name))

    async def address_add(self, name: str, cidr: str) -> None:
        await self._run(lambda s: s.route.address_add(name, cidr))

    async def address_del(self, name: str, cidr: str) -> None:
        await self._run(lambda s: s.route.address_del(name, cidr))

    async def route_mtu(self, remote: Address, *, mark: int = 0) -> tuple[int, str, Address]:
        return await self._run(lambda s: s.route.route_mtu(remote, mark))

    async def local_addresses(self) -> set[Address]:
        return await self._run(lambda s: s.route.local_addresses())

    async def device(self, name: str) -> int:
        return await self._run(lambda s: s.route.device(name))

    async def device_name(self, ifindex: int) -> str | None:
        return await self._run(lambda s: s.route.device_name(ifindex))

    async def netns_of(self, nsid: int) -> str | None:
        return await self._run(lambda s: s.netns_of(nsid))

    async def sysctl(self, path: str) -> str | None:
        return await self._run(lambda s: proc.sysctl(path))

    async def udp_port_owner(self, family: int, port: int) -> str | None:
        return await self._run(lambda s: proc.udp_port_owner(family, port))

    async def in_netns(self, fn: Callable[[], T]) -> T:
        return await asyncio.to_thread(self._kernel.in_netns, fn)

    async def events(self, *, ready: Callable[[], None] | None = None) -> AsyncIterator[Event | Lost]:
        """``async for event in kernel.events()``; it ends when this AsyncKernel is closed."""
        stream = await self._run(lambda s: s.events(self.module))
        self._kernel._streams.add(stream)
        try:
            if ready is not None:
                ready()
            async for event in stream:
                yield event
        finally:
            stream.close()

    async def options(self, *, ready: Callable[[], None] | None = None) -> AsyncIterator[DeliveredOption | LostOptions]:
        """``async for option in kernel.options()``; it ends when this AsyncKernel is closed."""
        stream = await self._run(lambda s: s.options(self.module))
        self._kernel._streams.add(stream)
        try:
            if ready is not None:
                ready()
            async for option in stream:
                yield option
        finally:
            stream.close()

    async def echo(
        self, key: PortKey, peer: Address, peer_port: int, body: bytes, options: bytes = b"", *, ifindex: int = 0
    ) -> int:
        return await self._run(lambda s: s.gutless.echo(key, peer, peer_port, body, options, ifindex))

    async def control(self) -> AsyncIterator[ControlMessage | Lost]:
        """``async for message in kernel.control()``; it ends when this AsyncKernel is closed."""
        stream = await self._run(lambda s: s.control(self.module))
        self._kernel._streams.add(stream)
        try:
            async for message in stream:
                yield message
        finally:
            stream.close()
