# SPDX-License-Identifier: Apache-2.0
"""What tunnels share in their namespace: a receiving port, a profile.

A tunnel answers for the prefixes that it, or another tunnel before it, brought to
its port; for what an administrator allowed it does not. So taking a tunnel away
takes from the port just what no other tunnel needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from gutctl.cookies import recall
from gutctl.door import Door
from gutctl.errors import ConflictError, GutctlError, InUseError
from gutctl.model import DEFAULT_INNER, Accept, Csum, Format, Module, Origin, Port, PortKey, Profile
from gutctl.plan import Step
from gutctl.planners.gue import gue_options, gue_word, put_back
from gutctl.planners.words import accept_word, port_name, prefix_list, profile_words, receive_rules_word, yes
from gutctl.portlist import Ports
from gutctl.tunnel import Tunnel

__all__ = [
    "Share",
    "acquire",
    "content",
    "find_port",
    "must_fit",
    "no_foreign_socket",
    "no_overlap",
    "open_port",
    "overlap",
    "profile_for",
    "release",
    "release_profile",
    "users",
]


@dataclass(slots=True)
class Share:
    """Steps at the port, and the tunnel with what it now answers for."""

    tunnel: Tunnel
    steps: list[Step] = field(default_factory=list)
    diff: list[str] = field(default_factory=list)
    port: Port | None = None
    """The port as it will be."""
    notes: list[str] = field(default_factory=list)


def find_port(ports: Iterable[Port], tunnel: Tunnel) -> Port | None:
    """The port that takes a tunnel's packets: on any address, else on its local one."""
    if tunnel.port is None:
        return None
    return Ports.of(ports).receiver(tunnel.family, tunnel.port, tunnel.local, tunnel.remote)


def users(port: Port, ports: Iterable[Port], tunnels: Iterable[Tunnel]) -> list[Tunnel]:
    """The tunnels whose receiving port this is."""
    known = Ports.of(ports)
    return [
        tunnel
        for tunnel in tunnels
        if tunnel.port is not None and find_port(known, tunnel) == port
    ]


def no_foreign_socket(kernel: Door, key: PortKey) -> None:
    """Raise InUseError where a program's socket, or another module, has the port on any address."""
    for module in Module:
        if module is not kernel.module:
            _not_of_module(kernel, module, key)
    if key.local is not None:
        return
    owner = kernel.udp_port_owner(key.family, key.port)
    if owner is not None:
        raise InUseError(
            f"{port_name(key)} is in use by another socket ({owner})",
            "choose another port, or stop that program",
        )


def _not_of_module(kernel: Door, module: Module, key: PortKey) -> None:
    """Raise InUseError where that module has a port that overlaps."""
    try:
        ports = kernel.using(module).ports()
    except GutctlError:
        return  # not loaded; or in a trouble of its own, and the kernel will say what is in the way
    port = overlap(ports, key)
    if port is not None:
        raise InUseError(
            f"{port_name(key)} is in use: {port_name(port)} of the module {module} is there",
            f"choose another port, or gutctl port del {port.key.port} --module {module}",
        )


def overlap(ports: Iterable[Port], key: PortKey) -> Port | None:
    """A port that has the number on an address that ``key`` includes."""
    for port in ports:
        other = port.key
        if (other.family, other.port) != (key.family, key.port):
            continue
        addresses = other.local is None or key.local is None or other.local == key.local
        devices = not other.ifindex or not key.ifindex or other.ifindex == key.ifindex
        if addresses and devices:
            return port
    return None


def no_overlap(ports: Iterable[Port], key: PortKey) -> None:
    """Raise InUseError where a port of ours has the number on an address that ``key`` includes."""
    port = overlap(ports, key)
    if port is not None:
        local = port.key.local
        hint = f"give --local {local}, or another port" if local and not port.from_port else "take another port"
        raise InUseError(f"{port_name(port)} is there, which {port_name(key)} would include", hint)


def open_port(kernel: Door, port: Port) -> Step:
    """The step that opens a port."""

    def do() -> None:
        try:
            kernel.port_add(replace(port, gue=recall(port.gue)))
        except InUseError as error:
            owner = kernel.udp_port_owner(port.key.family, port.key.port)
            if owner is None:
                raise
            raise InUseError(
                f"{port_name(port)} is in use by another socket ({owner})",
                "choose another port, or stop that program",
            ) from error

    return Step(
        f"open {port_name(port)} for {who(port)}",
        do,
        lambda: kernel.port_del(port.key),
        port_command(port),
    )


def who(port: Port) -> str:
    """Whom it lets in."""
    if port.any_source:
        return "any source"
    return prefix_list(port.sources) + (f" port {port.from_port}" if port.from_port else "")


def port_command(port: Port, verb: str = "add") -> tuple[str, ...]:
    """What ``ip fou`` has for it: the port of the in-tree module, or the nearest to one of ours."""
    words = ["ip", *(["-6"] if port.key.family == 6 else []), "fou", verb]
    words += ["port", str(port.key.port)]
    if Accept.FOU in port.accept:
        words += ["ipproto", str(port.fou_protocol)]
    else:
        words += ["gue"]
    if port.key.local is not None:
        words += ["local", str(port.key.local)]
    if port.module is Module.FOU:
        if port.from_port:
            words += ["peer", *(str(peer.network_address) for peer in port.sources), "peer_port", str(port.from_port)]
        return (" ".join(words),)
    return (f"# {verb} {port_name(port)}: no ip equivalent; nearest: {' '.join(words)}",)


def _new_port(tunnel: Tunnel, number: int) -> Port:
    fou = tunnel.format is Format.FOU
    return Port(
        key=PortKey(tunnel.family, number),
        accept=frozenset({Accept.FOU} if fou else {Accept.GUE0, Accept.BARE, Accept.GUTLESS}),
        fou_protocol=tunnel.fou_protocol if fou else None,
        inner=tunnel.payload if fou else DEFAULT_INNER,
        any_source=tunnel.any_source,
        sources=frozenset() if tunnel.any_source else tunnel.sources,
        zero_csum6=_zero6(tunnel),
        origin=Origin.TUNNEL,
        gue=tunnel.gue,
    )


def _zero6(tunnel: Tunnel) -> bool:
    return tunnel.family == 6 and tunnel.csum is Csum.ZERO


def must_fit(tunnel: Tunnel, port: Port) -> None:
    """Raise ConflictError where the port would not take the peer's packets."""
    name = port_name(port)
    number = port.key.port
    fou = tunnel.format is Format.FOU
    if not tunnel.accept <= port.accept or (fou and port.fou_protocol != tunnel.fou_protocol):
        asked = accept_word(tunnel.accept, tunnel.fou_protocol)
        mend = f"take another --port than {number}"
        if not fou and Accept.FOU not in port.accept:
            wanted = accept_word(port.accept | tunnel.accept, None)
            mend = f"gutctl port set {number} --accept {wanted}"
        raise ConflictError(
            f"{name} is there and accepts {accept_word(port.accept, port.fou_protocol)} (needed: {asked})",
            mend,
        )
    needed = tunnel.payload
    if not needed <= port.inner:
        raise ConflictError(
            f"{name} is there and takes the inner protocols {protocol_text(port.inner)}"
            f" (needed: {protocol_text(needed)})",
            f"gutctl port set {number} --inner {protocol_text(port.inner | needed)}",
        )
    if port.gue != tunnel.gue:
        raise ConflictError(
            f"{name} is there and requires {gue_word(port.gue)} of GUE's fields"
            f" (what {tunnel.name} sends and its peer is to send: {gue_word(tunnel.gue)})",
            f"gutctl port set {number} {gue_options(port.gue, tunnel.gue)}, or another --port",
        )
    if _zero6(tunnel) and not port.zero_csum6 and port.origin is Origin.ADMIN:
        raise ConflictError(
            f"{name} is there and refuses IPv6 packets without a checksum",
            f"gutctl port set {number} -6 --zero-csum6",
        )


def protocol_text(protocols: frozenset[int]) -> str:
    """Numbers with commas."""
    return ",".join(map(str, sorted(protocols)))


def acquire(kernel: Door, ports: Iterable[Port], tunnel: Tunnel, others: Iterable[Tunnel]) -> Share:
    """Let the peer of ``tunnel`` in.

    ``tunnel.sources`` and ``any_source`` are what it wants; those of the result
    are what it answers for. ``others``: all tunnels that send from the namespace.
    """
    if tunnel.port is None:
        return Share(replace(tunnel, sources=frozenset(), any_source=False))
    ports = Ports.of(ports)
    port = find_port(ports, tunnel)
    if port is None:
        port = _new_port(tunnel, tunnel.port)
        no_overlap(ports, port.key)
        no_foreign_socket(kernel, port.key)
        share = Share(replace(tunnel, sources=port.sources), [open_port(kernel, port)], port=port)
        share.diff.append(f"+ {port_name(port)}  from {who(port)}")
        return share
    mates = users(port, ports, others)
    before = port
    if port.origin is Origin.TUNNEL and all(mate.name == tunnel.name for mate in mates):
        # nobody else receives on it
        port = replace(port, gue=tunnel.gue)
    must_fit(tunnel, port)
    any_by_tunnel = any(mate.any_source for mate in mates)
    if tunnel.any_source:
        answers = replace(tunnel, sources=frozenset(), any_source=not port.any_source or any_by_tunnel)
    elif port.any_source and not any_by_tunnel:
        answers = replace(tunnel, sources=frozenset())
    else:
        shared = frozenset().union(*(mate.sources for mate in mates))
        answers = replace(tunnel, sources=(tunnel.sources - port.sources) | (tunnel.sources & shared))
    after = replace(
        port,
        sources=port.sources | answers.sources,
        any_source=port.any_source or tunnel.any_source,
        zero_csum6=port.zero_csum6 or _zero6(tunnel),
    )
    share = Share(answers, port=after)
    _change(kernel, before, after, share)
    return share


def _change(kernel: Door, before: Port, after: Port, share: Share) -> None:
    """One request that makes a port from what it was into what it shall be."""
    there: dict[str, Any] = {}
    back: dict[str, Any] = {}
    words = []
    added, removed = after.sources - before.sources, before.sources - after.sources
    if added:
        there["add_sources"] = back["remove_sources"] = sorted(added, key=str)
        words.append(f"allow {prefix_list(added)} on")
        share.diff += [f"~ {port_name(after)}  + from {prefix_list(added)}"]
    if removed:
        there["remove_sources"] = back["add_sources"] = sorted(removed, key=str)
        words.append(f"no longer allow {prefix_list(removed)} on")
        share.diff += [f"~ {port_name(after)}  - from {prefix_list(removed)}"]
    for name in ("any_source", "zero_csum6"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            there[name], back[name] = new, old
            words.append(f"{name.replace('_', ' ')} {'on' if new else 'off'} at")
            share.diff += [f"~ {port_name(after)}  {name} {yes(old)} -> {yes(new)}"]
    if before.gue != after.gue:
        there["gue"] = after.gue
        words.append(f"require {gue_word(after.gue)} at")
        share.diff += [f"~ {port_name(after)}  gue {gue_word(before.gue)} -> {gue_word(after.gue)}"]

    def undo() -> None:
        if "gue" in there:
            back["gue"] = put_back(before.gue, after.gue)
        kernel.port_set(after.key, **back)

    def do() -> None:
        if "gue" in there:
            there["gue"] = put_back(after.gue, before.gue)
        kernel.port_set(after.key, **there)

    if there:
        share.steps.append(
            Step(
                f"{', '.join(words)} {port_name(after)}",
                do,
                undo,
                (f"# change {port_name(after)}: no ip equivalent",),
            )
        )


def release(kernel: Door, ports: Iterable[Port], tunnel: Tunnel, others: Iterable[Tunnel]) -> Share:
    """Take from its port what only ``tunnel`` needs; the port too, if it made it and is the last.

    ``others``: all other tunnels that send from the namespace.
    """
    share = Share(tunnel)
    if tunnel.port is None:
        return share
    ports = Ports.of(ports)
    port = find_port(ports, tunnel)
    if port is None:
        return share
    mates = users(port, ports, others)
    if port.origin is Origin.TUNNEL and not mates:
        share.steps.append(
            Step(
                f"close {port_name(port)}",
                lambda: kernel.port_del(port.key),
                lambda: kernel.port_add(replace(port, gue=recall(port.gue))),
                port_command(port, "del"),
            )
        )
        share.diff.append(f"- {port_name(port)}")
        if own := _own(port):
            share.notes.append(
                f"{port_name(port)} is closed, and what was set on it is gone: {', '.join(own)}."
                " A port that a tunnel opens has none of it; one of yours stays (gutctl port add)"
            )
        return share
    needed = frozenset().union(*(mate.sources for mate in mates))
    after = replace(port, sources=port.sources - (tunnel.sources - needed))
    if tunnel.any_source and not any(mate.any_source for mate in mates):
        after = replace(after, any_source=False)
    if port.origin is Origin.TUNNEL and _zero6(tunnel) and not any(map(_zero6, mates)):
        after = replace(after, zero_csum6=False)
    share.port = after
    _change(kernel, port, after, share)
    return share


def _own(port: Port) -> list[str]:
    """What keeps packets out of a port that no tunnel has brought: somebody set it there."""
    words = [] if not port.keys else ["1 key" if len(port.keys) == 1 else f"{len(port.keys)} keys"]
    words += ["--require-auth"] if port.require_auth else []
    words += [f"rules {receive_rules_word(port.rules)}"] if port.rules else []
    return words


@dataclass(slots=True)
class ProfileShare:
    """Steps at the profile; the number is known when they have been taken."""

    number: int = 0
    steps: list[Step] = field(default_factory=list)
    diff: list[str] = field(default_factory=list)


def content(profile: Profile) -> tuple[object, ...]:
    """What makes one profile as good as another: all but number, maker and counters."""
    room = max(profile.room, profile.words)
    return profile.format, profile.csum, profile.source_ports, profile.options, profile.rules, profile.gue, room


def profile_for(kernel: Door, profiles: Iterable[Profile], tunnel: Tunnel) -> ProfileShare:
    """A profile of the content that the tunnel needs: one that is there, or a new one."""
    wanted = tunnel.wanted_profile()
    if wanted is None:
        return ProfileShare()
    for profile in profiles:
        if content(profile) == content(wanted):
            return ProfileShare(profile.number)
    share = ProfileShare()

    def do() -> None:
        # a tunnel that is there does not know the octets of its cookie
        share.number = kernel.profile_add(replace(wanted, origin=Origin.TUNNEL, gue=recall(wanted.gue))).number

    text = profile_words(wanted)
    share.steps.append(
        Step(
            f"add a profile: {text}",
            do,
            lambda: kernel.profile_del(share.number),
            (f"# add a profile ({text}): no ip equivalent",),
        )
    )
    share.diff.append(f"+ profile  {text}")
    return share


def release_profile(
    kernel: Door, profiles: Iterable[Profile], tunnel: Tunnel, others: Iterable[Tunnel]
) -> ProfileShare:
    """Delete the tunnel's profile if a tunnel made it and no other tunnel has it."""
    share = ProfileShare(tunnel.profile)
    profile = next((p for p in profiles if p.number == tunnel.profile), None)
    if profile is None or profile.origin is not Origin.TUNNEL:
        return share
    if any(other.profile == profile.number for other in others):
        return share

    def undo() -> None:
        kernel.profile_add(replace(profile, gue=recall(profile.gue)))

    share.steps.append(
        Step(
            f"delete profile {profile.number}",
            lambda: kernel.profile_del(profile.number),
            undo,
            (f"# delete profile {profile.number}: no ip equivalent",),
        )
    )
    share.diff.append(f"- profile {profile.number}")
    return share
