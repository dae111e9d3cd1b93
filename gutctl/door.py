# SPDX-License-Identifier: Apache-2.0
"""What the planners need from the kernel, as a protocol.

:class:`gutctl.netlink.Kernel` is the real one. Nothing here imports it, so that
planning can be tried against another implementation and help texts stay fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar, Unpack

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

__all__ = ["Door", "Netns"]

T = TypeVar("T")

Netns = str | int | None
"""A network namespace: a name, a path, a process id; None is the caller's own."""


class ControlStream(Protocol):
    """Control messages as they come."""

    @property
    def closed(self) -> bool:
        """Nothing comes any more."""

    def read(self, seconds: float | None = None) -> Any:
        """The next ControlMessage or Lost, None where none comes within so many seconds."""

    def close(self) -> None:
        """End it. Idempotent."""


class Door(Protocol):
    """One network namespace's kernel; methods as :class:`gutctl.netlink.Kernel` says."""

    @property
    def module(self) -> Module: ...

    def using(self, module: Module) -> Door: ...

    def close(self) -> None: ...

    def info(self) -> Info: ...

    def port_add(self, port: Port) -> None: ...

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
    ) -> None: ...

    def port_del(self, key: PortKey) -> None: ...

    def port(self, key: PortKey) -> Port | None: ...

    def ports(self) -> list[Port]: ...

    def profile_add(self, profile: Profile) -> Profile: ...

    def profile_set(self, number: int, **change: Unpack[ProfileChange]) -> None: ...

    def profile_del(self, number: int) -> None: ...

    def profile(self, number: int) -> Profile | None: ...

    def profiles(self) -> list[Profile]: ...

    def onpath_set(
        self, ifindex: int, *, min_path_mtu: bool | None = None, ports: Iterable[int] | None = None
    ) -> None: ...

    def onpath(self, ifindex: int) -> OnPath: ...

    def onpaths(self) -> list[OnPath]: ...

    def links(self) -> list[Link]: ...

    def link(self, name: str) -> Link | None: ...

    def link_add(self, link: Link) -> None: ...

    def link_set(
        self,
        name: str,
        *,
        mtu: int | None = None,
        up: bool | None = None,
        alias: str | None = None,
        gso_segments: int | None = None,
        netns: Netns = None,
    ) -> None: ...

    def link_change(self, link: Link) -> None: ...

    def link_del(self, name: str) -> None: ...

    def address_add(self, name: str, cidr: str) -> None: ...

    def address_del(self, name: str, cidr: str) -> None: ...

    def route_mtu(self, remote: Address, *, mark: int = 0) -> tuple[int, str, Address]: ...

    def local_addresses(self) -> set[Address]: ...

    def device(self, name: str) -> int: ...

    def device_name(self, ifindex: int) -> str | None: ...

    def netns_of(self, nsid: int) -> str | None: ...

    def sysctl(self, path: str) -> str | None: ...

    def udp_port_owner(self, family: int, port: int) -> str | None: ...

    def in_netns(self, fn: Callable[[], T]) -> T: ...

    def events(self, *, ready: Callable[[], None] | None = None) -> Iterator[Any]: ...

    def options(self, *, ready: Callable[[], None] | None = None) -> Any: ...

    def echo(
        self, key: PortKey, peer: Address, peer_port: int, body: bytes, options: bytes = b"", *, ifindex: int = 0
    ) -> int: ...

    def control(self) -> ControlStream: ...
