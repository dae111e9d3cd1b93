# SPDX-License-Identifier: Apache-2.0
"""A machine of namespaces in memory that refuses what the kernel refuses.

It stands in for the doors of :mod:`gutctl.netlink` where planning is tested, not
the kernel: the same commands are tried against a real one in tests/kernel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar, Unpack

from fake_links import FakeLinks

from gutctl.door import Door, Netns
from gutctl.errors import (
    ConflictError,
    GutctlError,
    InUseError,
    NotFoundError,
    UnsupportedError,
)
from gutctl.model import (
    NO_FIELDS,
    Accept,
    Address,
    Answer,
    Csum,
    Format,
    GueFields,
    Info,
    Key,
    KeyedOption,
    Link,
    Module,
    Network,
    OnPath,
    OnPathStats,
    Origin,
    Port,
    PortKey,
    Profile,
    ProfileChange,
    ReceiveRule,
    Stats,
)
from gutctl.world import World

T = TypeVar("T")

ROOT = "root"


def _told(key: Key) -> Key:
    return replace(key, secret=b"")


def _without_secret(profile: Profile) -> Profile:
    return replace(
        profile, options=tuple(replace(o, key=_told(o.key)) if isinstance(o, KeyedOption) else o for o in profile.options)
    )


NO_DROPS = {"source": 0, "truncated": 0, "variant": 0}


@dataclass
class Namespace:
    """What one network namespace holds."""

    ports: dict[PortKey, Port] = field(default_factory=dict)
    profiles: dict[int, Profile] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    onpaths: dict[int, OnPath] = field(default_factory=dict)
    fou_ports: dict[tuple[PortKey, int], Port] = field(default_factory=dict)
    """Of the in-tree module, by key and peer's port."""
    owners: dict[tuple[int, int], str] = field(default_factory=dict)
    """Sockets of programs by family and port."""
    addresses: set[Address] = field(default_factory=lambda: {IPv4Address("203.0.113.5"), IPv6Address("2001:db8::5")})
    routed: bool = True
    path_mtu: int = 1500
    sysctls: dict[str, str] = field(default_factory=dict)


class Machine:
    """Namespaces by name; ``root`` is the caller's own."""

    def __init__(self) -> None:
        self.spaces: dict[str, Namespace] = {ROOT: Namespace(), "blue": Namespace()}
        self.loaded = True
        self.fou = True
        self.fou6 = True
        self.features = frozenset(
            {
                *("ipv6", "remcsum", "icmp", "options", "option-rules", "onpath", "auth", "gue-fields", "control"),
                *("neutral", "verify-headers"),
            }
        )
        self.unreachable: set[str] = set()
        self.requests: list[str] = []
        self.fail_at: int | None = None
        """Which changing request from now on fails, the first is 0."""
        self.failure: Callable[[], BaseException] = lambda: GutctlError("injected")
        self.next_ifindex = 10
        self.coming: list[Any] = []
        """Events for who listens."""
        self.delivered: list[Any] = []
        """Options for who listens."""

    def snapshot(self) -> dict[str, Namespace]:
        """What there is, to compare with later; without interface numbers and an order of addresses."""

        def plain(link: Link) -> Link:
            return replace(link, ifindex=0, addresses=tuple(sorted(link.addresses)))

        return {
            name: replace(
                space,
                ports=dict(space.ports),
                fou_ports=dict(space.fou_ports),
                profiles=dict(space.profiles),
                links={n: plain(link) for n, link in space.links.items()},
                onpaths=dict(space.onpaths),
            )
            for name, space in self.spaces.items()
        }

    def restore(self, spaces: dict[str, Namespace]) -> None:
        """Back to a snapshot, which can be used again."""
        self.spaces = spaces
        self.spaces = self.snapshot()

    def name_of(self, netns: Netns) -> str:
        """The namespace that a word names."""
        if netns in (None, "/proc/1/ns/net") or str(netns).startswith(f"/proc/{os.getpid()}/"):
            return ROOT
        if netns not in self.spaces or netns == ROOT:
            raise NotFoundError(f"there is no network namespace {netns}")
        return str(netns)

    def identity(self, netns: Netns) -> object:
        """As gutctl.world wants it."""
        try:
            return self.name_of(netns)
        except NotFoundError as error:
            raise OSError(str(error)) from error

    def world(self, here: Netns = None) -> World:
        """A world on this machine."""
        names = [name for name in self.spaces if name != ROOT]
        return World(here, self.kernel, self.identity, lambda: names)

    def kernel(self, netns: Netns = None) -> Door:
        """A door."""
        return FakeKernel(self, self.name_of(netns))

    def changing(self, text: str) -> None:
        """Called by each changing request before it does anything."""
        if self.fail_at is not None:
            if self.fail_at == 0:
                self.fail_at = None
                raise self.failure()
            self.fail_at -= 1
        self.requests.append(text)


def _kept(before: GueFields, asked: GueFields) -> GueFields:
    """What the kernel then tells: of a cookie no octets, and one whose octets it is not given is the one it had."""
    cookie = asked.cookie
    if cookie is None:
        return asked
    if cookie.octets is None:
        if before.cookie is None:
            raise GutctlError("the cookie is not known")
        return replace(asked, cookie=before.cookie)
    return replace(asked, cookie=replace(cookie, octets=None))


class FakeKernel(FakeLinks):
    """One namespace of a machine."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name

    @property
    def module(self) -> Module:
        return Module.GUTLESS

    def using(self, module: Module) -> FakeKernel:
        from fake_fou import FakeFou

        if module is self.module:
            return self
        return (FakeFou if module is Module.FOU else FakeKernel)(self.machine, self.name)

    def close(self) -> None: ...

    # ---- the family ----

    def _loaded(self) -> None:
        if not self.machine.loaded:
            raise UnsupportedError("the kernel has no gutless", "modprobe gutless")

    def info(self) -> Info:
        self._loaded()
        return Info(
            version="0.1.0", features=self.machine.features, max_ports=1024, max_sources=1024,
            max_profiles=255, max_nesting=4, ports=len(self.space.ports),
            profiles=len(self.space.profiles), unprivileged=False, encap_bare=4, encap_header=5,
            plain=Stats(drops={"no-profile": 0}),
        )  # fmt: skip

    def _check_port(self, port: Port) -> None:
        if not 1 <= port.key.port <= 65535:
            raise GutctlError("port 0 is no port")
        if port.key.ifindex and port.key.local is None:
            raise GutctlError("a device needs a local address beside it")
        if port.key.local is not None and port.key.local.version != port.key.family:
            raise GutctlError("the local address is of the other family")
        if not port.accept or (Accept.FOU in port.accept and len(port.accept) > 1):
            raise GutctlError("a FOU port accepts nothing else")
        if (Accept.FOU in port.accept) != (port.fou_protocol is not None):
            raise GutctlError("a FOU port needs a protocol, and no other has one")
        if port.rules and Accept.GUTLESS not in port.accept:
            raise GutctlError("rules for options are for a port that accepts GUT-less")
        if len({rule.type for rule in port.rules}) < len(port.rules):
            raise GutctlError("two rules for one type of option")
        if port.require_auth and not port.keys:
            raise GutctlError("a port that requires option auth needs a key")
        if not port.inner or 0 in port.inner:
            raise GutctlError("protocol 0 cannot be received")
        if port.fou_protocol is not None and port.fou_protocol not in port.inner:
            raise GutctlError("a FOU port's protocol is its inner protocol")
        if port.gue and Accept.GUE0 not in port.accept:
            raise GutctlError("fields of GUE are required of a port that accepts it")
        for network in port.sources:
            if network.version != port.key.family:
                raise GutctlError("a source is one address of the port's family")

    def port_add(self, port: Port) -> None:
        self._loaded()
        self.machine.changing(f"port_add {port.key.port}")
        self._check_port(port)
        if port.key in self.space.ports:
            raise ConflictError("this port is there already")
        owner = self.space.owners.get((port.key.family, port.key.port))
        ours = any(
            (key.family, key.port) == (port.key.family, port.key.port) and (key.local is None or port.key.local is None)
            for key in self.space.ports
        )
        if owner or ours:
            raise InUseError("the port is in use")
        told = frozenset(map(_told, port.keys))
        kept = replace(port, keys=told, gue=_kept(NO_FIELDS, port.gue), stats=Stats(drops=dict(NO_DROPS)))
        self.space.ports[port.key] = kept

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
        verify_headers: bool | None = None,
        rules: Iterable[ReceiveRule] = (),
        remove_rules: Iterable[int] = (),
        keys: Iterable[Key] = (),
        remove_keys: Iterable[int] = (),
        require_auth: bool | None = None,
        answers: frozenset[Answer] | None = None,
        origin: Origin | None = None,
        gue: GueFields | None = None,
    ) -> None:
        self._loaded()
        self.machine.changing(f"port_set {key.port}")
        old = self.space.ports.get(key)
        if old is None:
            raise NotFoundError("no such port")
        sources = set(old.sources if replace_sources is None else replace_sources)
        for network in remove_sources:
            if network not in sources:
                raise NotFoundError("the port has no such source")
            sources.remove(network)
        sources.update(add_sources)
        given: dict[str, Any] = {
            "accept": accept, "fou_protocol": fou_protocol, "inner": inner,
            "any_source": any_source, "zero_csum6": zero_csum6, "remcsum_nopartial": remcsum_nopartial,
            "origin": origin, "require_auth": require_auth,
            "gue": None if gue is None else _kept(old.gue, gue),
            "answers": answers,
            "verify_headers": verify_headers,
        }  # fmt: skip
        kept = {rule.type: rule for rule in old.rules}
        for number in remove_rules:
            if number not in kept:
                raise NotFoundError("the port has no rule for this type")
            del kept[number]
        kept |= {rule.type: rule for rule in rules}
        held = {key.id: key for key in old.keys}
        for number in remove_keys:
            if number not in held:
                raise NotFoundError("the port has no key of this id")
            del held[number]
        held |= {key.id: _told(key) for key in keys}
        new = replace(
            old,
            sources=frozenset(sources),
            rules=frozenset(kept.values()),
            keys=frozenset(held.values()),
            **{name: value for name, value in given.items() if value is not None},
        )
        self._check_port(new)
        if (Accept.FOU in new.accept) != (Accept.FOU in old.accept):
            raise GutctlError("a port stays FOU of its protocol, or stays other")
        self.space.ports[key] = new

    def port_del(self, key: PortKey) -> None:
        self._loaded()
        self.machine.changing(f"port_del {key.port}")
        if key not in self.space.ports:
            raise NotFoundError("no such port")
        del self.space.ports[key]

    def port(self, key: PortKey) -> Port | None:
        self._loaded()
        return self.space.ports.get(key)

    def ports(self) -> list[Port]:
        self._loaded()
        return sorted(
            self.space.ports.values(),
            key=lambda p: (p.key.family, p.key.port, str(p.key.local or ""), p.key.ifindex),
        )

    def profile_add(self, profile: Profile) -> Profile:
        self._loaded()
        self.machine.changing("profile_add")
        words = max(profile.words, profile.room) << 8
        free = (words | number for number in range(1, 256) if words | number not in self.space.profiles)
        number = profile.number or next(free)
        self._check_profile(replace(profile, number=number))
        if number in self.space.profiles:
            raise ConflictError("this profile is there already")
        made = replace(profile, number=number, room=number >> 8, gue=_kept(NO_FIELDS, profile.gue))
        self.space.profiles[number] = _without_secret(made)
        return self.space.profiles[number]

    def profile_set(self, number: int, **change: Unpack[ProfileChange]) -> None:
        self._loaded()
        self.machine.changing(f"profile_set {number}")
        if number not in self.space.profiles:
            raise NotFoundError("no such profile")
        old = self.space.profiles[number]
        if "gue" in change:
            change["gue"] = _kept(old.gue, change["gue"])
        new = replace(old, **change)
        self._check_profile(new)
        self.space.profiles[number] = _without_secret(new)

    def _check_profile(self, profile: Profile) -> None:
        if profile.number >> 8 < profile.words:
            raise GutctlError("the number does not tell the length of what is added")
        if profile.gue and profile.format is not Format.GUE:
            raise GutctlError("only format GUE has group, cookie and checksum")
        if profile.options and profile.format is not Format.GUTLESS:
            raise GutctlError("only format GUT-less has options")
        if any(rule.profile >> 8 > profile.number >> 8 for rule in profile.rules):
            raise GutctlError("a rule's profile has longer headers than links with this one keep room for")
        if not {rule.profile for rule in profile.rules} <= {profile.number, *self.space.profiles}:
            raise NotFoundError("there is no such profile as a rule names")
        if profile.csum.remote and (
            profile.format is Format.FOU or (profile.csum is Csum.REMOTE_DRAFT and profile.format is not Format.GUE)
        ):
            raise GutctlError("this format cannot leave a checksum to the receiver")

    def profile_del(self, number: int) -> None:
        self._loaded()
        self.machine.changing(f"profile_del {number}")
        if number not in self.space.profiles:
            raise NotFoundError("no such profile")
        del self.space.profiles[number]

    def profile(self, number: int) -> Profile | None:
        self._loaded()
        return self.space.profiles.get(number)

    def profiles(self) -> list[Profile]:
        self._loaded()
        return [self.space.profiles[number] for number in sorted(self.space.profiles)]

    def onpath_set(
        self, ifindex: int, *, min_path_mtu: bool | None = None, ports: Iterable[int] | None = None
    ) -> None:
        self._loaded()
        self.machine.changing(f"onpath_set {ifindex}")
        old = self.space.onpaths.get(ifindex, OnPath(ifindex))
        on = old.min_path_mtu if min_path_mtu is None else min_path_mtu
        if not on:
            if ports is not None:
                raise GutctlError("a device that does nothing on the path has no ports")
            self.space.onpaths.pop(ifindex, None)
            return
        asked = (old.ports or (6080,)) if ports is None else tuple(ports)
        if not 1 <= len(asked) <= 8 or 0 in asked or len(set(asked)) < len(asked):
            raise GutctlError("ports are one number or more of two octets")
        left = {"enough": 0, "no-check": 3, "fragment": 0}
        self.space.onpaths[ifindex] = OnPath(ifindex, on, asked, OnPathStats(5, 2, left))

    def onpath(self, ifindex: int) -> OnPath:
        self._loaded()
        return self.space.onpaths.get(ifindex, OnPath(ifindex))

    def onpaths(self) -> list[OnPath]:
        self._loaded()
        return [self.space.onpaths[ifindex] for ifindex in sorted(self.space.onpaths)]

    # ---- the rest ----

    def route_mtu(self, remote: Address, *, mark: int = 0) -> tuple[int, str, Address]:
        if not self.space.routed:
            raise NotFoundError(f"no route to {remote}")
        source = next(a for a in self.space.addresses if a.version == remote.version)
        return self.space.path_mtu, "eth0", source

    def local_addresses(self) -> set[Address]:
        return set(self.space.addresses)

    def device(self, name: str) -> int:
        if name == "eth0":
            return 2
        return self._need(name).ifindex

    def device_name(self, ifindex: int) -> str | None:
        return "eth0" if ifindex == 2 else None

    def netns_of(self, nsid: int) -> str | None:
        name = list(self.machine.spaces)[nsid]
        if name in self.machine.unreachable:
            return None
        return "/proc/1/ns/net" if name == ROOT else name

    def sysctl(self, path: str) -> str | None:
        return self.space.sysctls.get(path)

    def udp_port_owner(self, family: int, port: int) -> str | None:
        return self.space.owners.get((family, port))

    def in_netns(self, fn: Callable[[], T]) -> T:
        return fn()

    def events(self, *, ready: Callable[[], None] | None = None) -> Iterator[Any]:
        if ready is not None:
            ready()
        yield from self.machine.coming

    def options(self, *, ready: Callable[[], None] | None = None) -> FakeOptions:
        self._loaded()
        if ready is not None:
            ready()
        return FakeOptions(list(self.machine.delivered))


class FakeOptions:
    """What was delivered, and then silence."""

    def __init__(self, coming: list[Any]) -> None:
        self.coming = coming

    def read(self, seconds: float | None = None) -> Any:
        return self.coming.pop(0) if self.coming else None

    def close(self) -> None: ...
