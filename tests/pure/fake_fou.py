# SPDX-License-Identifier: Apache-2.0
"""The in-tree fou module of a namespace in memory, with its way of refusing."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from fake_kernel import FakeKernel

from gutctl._nl.fou_records import find, request
from gutctl.errors import ConflictError, GutctlError, InUseError, NotFoundError, UnsupportedError
from gutctl.model import Address, Info, Module, Port, PortKey, Profile, Stats


class FakeFou(FakeKernel):
    """One namespace's ports of the module; links and all else are those of the machine."""

    @property
    def module(self) -> Module:
        return Module.FOU

    def _loaded(self) -> None:
        if not self.machine.fou:
            raise UnsupportedError("the kernel module fou is not loaded", "modprobe fou")

    @property
    def _ports(self) -> dict[tuple[PortKey, int], Port]:
        return self.space.fou_ports

    def info(self) -> Info:
        self._loaded()
        features = frozenset({"bind", "remcsum", "ipv6"} if self.machine.fou6 else {"bind", "remcsum"})
        return Info("", features, 65535, 1, 0, 0, len(self._ports), 0, False, 1, 2, Stats())

    def _chosen(self, family: int) -> Address:
        kind = IPv4Address if family == 4 else IPv6Address
        return next(address for address in self.space.addresses if isinstance(address, kind))

    def port_add(self, port: Port) -> None:
        self._loaded()
        request(port)  # what cannot be said is refused
        self.machine.changing(f"port_add {port.key.port} fou")
        key = port.key
        others = [*(p.key for p in self._ports.values()), *self.space.ports]
        for other in others:
            near = other.local is None or key.local is None or other.local == key.local
            if near and (other.family, other.port) == (key.family, key.port):
                raise ConflictError("exists already") if other == key else InUseError("in use")
        if (key.family, key.port) in self.space.owners:
            raise InUseError("in use")
        if port.from_port and key.local is None:
            key = replace(key, local=self._chosen(key.family))
        self._ports[key, port.from_port] = replace(port, key=key)

    def port_set(self, key: PortKey, **change: Any) -> None:
        raise UnsupportedError("the in-tree module cannot change a port while it runs")

    def port_del(self, key: PortKey) -> None:
        self._loaded()
        self.machine.changing(f"port_del {key.port} fou")
        port = find(self._ports.values(), key)
        if port is None:
            raise NotFoundError("not found")
        del self._ports[port.key, port.from_port]

    def port(self, key: PortKey) -> Port | None:
        self._loaded()
        return find(self._ports.values(), key)

    def ports(self) -> list[Port]:
        self._loaded()
        return list(self._ports.values())

    def profiles(self) -> list[Profile]:
        self._loaded()
        return []

    def profile_add(self, profile: Profile) -> Profile:
        raise GutctlError("the in-tree module has no profiles")
