# SPDX-License-Identifier: Apache-2.0
"""``tunnel set``: change what is given, leave the rest.

The kernel zeroes a link's encapsulation while it changes it, and leaves it zeroed
when it refuses: plain packets would leave. So everything is checked first, the link
is down while it is changed, and it does not come up again without an encapsulation.
Where a change of the tunnel's own profile will do, the link is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gutctl import ipwords
from gutctl.checks import host_network
from gutctl.door import Door
from gutctl.errors import ConflictError, GutctlError, NotFoundError
from gutctl.model import Link
from gutctl.plan import Plan, Step, Verdict
from gutctl.planners.gue import with_gue
from gutctl.planners.receiving import exchange
from gutctl.planners.route import by_route, one_per_pair
from gutctl.planners.segments import segmented, take
from gutctl.planners.sharing import ProfileShare, Share, find_port, profile_for, release_profile
from gutctl.planners.swap import swap_profile
from gutctl.planners.tunnel_add import check_tunnel, notes_on, summary
from gutctl.planners.tunnel_del import find_tunnel
from gutctl.tunnel import Tunnel, kind_of, to_link
from gutctl.world import Seen, State, World

__all__ = ["SetRequest", "plan_set"]

_SHARING = {"remote", "local", "port", "peer_port", "csum", "format", "options", "sources", "any_source", "gue"}
"""Settings that touch the receiving port."""
_PROFILE = {"source_ports", "csum", "format", "options", "rules", "room", "gue"}
_LINK = {"remote", "local", "format", "peer_port", "source_ports", "csum", "ttl", "tos", "pmtudisc", "profile"}
_LINK |= {"options", "rules", "room", "gue"}
"""Settings that only the kernel's changelink can change."""
_INSIDE = ("mode", "kind", "inner", "key")
"""What a link is made with, and keeps."""


@dataclass(frozen=True, slots=True)
class SetRequest:
    """What ``tunnel set`` was asked: fields of Tunnel by name."""

    name: str
    changes: Mapping[str, Any]
    """``mtu`` None: from the route from now on."""


def plan_set(world: World, request: SetRequest) -> tuple[Plan, Tunnel]:
    """The plan, and the tunnel as it will be. Raises before anything is touched."""
    seen = find_tunnel(world, request.name)
    if seen is None:
        raise NotFoundError(f"there is no tunnel {request.name}", "gutctl tunnel add")
    if not seen.reachable:
        raise GutctlError(
            f"{request.name} sends from a namespace that cannot be reached from here",
            "run this where that namespace has a name in /run/netns",
        )
    now = seen.tunnel
    world = world.using(now.module)
    _same_inside(now, request.changes)
    changes = {name: value for name, value in with_gue(now.gue, request.changes).items() if name not in _INSIDE}
    asked = _wanted(now, changes)
    check_tunnel(asked)
    if kind_of(asked) != now.kind or asked.protocol != now.protocol:
        raise ConflictError(
            f"{now.name} is a link of kind {now.kind}; this takes one of kind {kind_of(asked)}",
            f"gutctl tunnel del {now.name}, then tunnel add",
        )
    kernel = world.kernel(seen.sends)
    state = world.state(seen.sends)
    check_tunnel(asked, state.info)
    if {"options", "rules", "csum"} & set(changes):
        asked = replace(asked, segmented=segmented(asked, state.numbered))
    if asked.mtu is None or (asked.local is None and asked.needs_local):
        asked = by_route(kernel, asked)
        check_tunnel(asked)
    changed = {key for key in {*changes, "local"} if getattr(asked, key) != getattr(now, key)}
    if (asked.remote, asked.local) != (now.remote, now.local) or (changed & _LINK and now.kind == "ip6gretap"):
        one_per_pair(kernel, asked, changing=True)
    # what is missing is made again when it is said
    changed |= set(changes) & ({"port", "source_ports"} if now.profile_missing else {"port"})
    port = find_port(state.ports, now)
    if "gue" in changes and port is not None and port.gue != asked.gue:
        changed.add("port")
    plan, after = _plan(world, seen, asked, state, changed)
    if plan.steps:
        plan.verdict = Verdict.CHANGED
        plan.notes += notes_on(replace(asked, any_source=asked.any_source and not now.any_source), kernel)
    return plan, after


def _same_inside(now: Tunnel, changes: Mapping[str, Any]) -> None:
    """Raise ConflictError where another link is asked for than the one that runs."""
    other = [
        f"{name} {_word(getattr(now, name))} (asked: {_word(changes[name])})"
        for name in _INSIDE
        if name in changes and changes[name] != getattr(now, name)
    ]
    if other:
        raise ConflictError(
            f"{now.name} has {', '.join(other)}: a running link keeps what it was made with",
            f"gutctl tunnel del {now.name}, then tunnel add",
        )


def _word(value: object) -> str:
    return "none" if value is None else str(value)


def _wanted(now: Tunnel, changes: Mapping[str, Any]) -> Tunnel:
    asked = replace(now, **changes)
    if asked.family != now.family:
        # whatever kind this would be, it is another one
        asked = replace(asked, link_kind="")
    if "mtu" in changes:
        asked = replace(asked, mtu_fixed=changes["mtu"] is not None)
    elif not now.mtu_fixed and (asked.remote, asked.overhead) != (now.remote, now.overhead):
        asked = replace(asked, mtu=None)
    if asked.port is None:
        return replace(asked, sources=frozenset(), any_source=False)
    if asked.any_source and "any_source" in changes:
        return replace(asked, sources=frozenset())
    if "sources" in changes:
        return replace(asked, any_source=False) if "any_source" not in changes else asked
    old, new = host_network(now.remote), host_network(asked.remote)
    if "any_source" in changes and not now.sources:
        return replace(asked, sources=frozenset({new}))
    if asked.remote != now.remote and (old in now.sources or not now.sources):
        return replace(asked, sources=(now.sources - {old}) | {new})
    if (asked.port != now.port or now.inferred) and not now.sources:
        return replace(asked, sources=frozenset({new}))
    return asked


def _plan(world: World, seen: Seen, asked: Tunnel, state: State, changed: set[str]) -> tuple[Plan, Tunnel]:
    now = seen.tunnel
    kernel = world.kernel(seen.sends)
    plan = Plan(f"tunnel {now.name}", Verdict.UNCHANGED)
    acquired, released = Share(asked), Share(now)
    profile, old_profile = ProfileShare(now.profile), ProfileShare(now.profile)
    swap: ProfileShare | None = None
    if changed & (_SHARING | _PROFILE):
        others = [
            other.tunnel
            for other in world.sending(seen.sends)
            if not (other.tunnel.name == now.name and world.same(other.stands, seen.stands))
        ]
        if changed & _SHARING:
            acquired, released = exchange(kernel, state.ports, now, asked, others)
        if changed & _PROFILE:
            swap = swap_profile(kernel, state.numbered, now, asked, others, state.info)
            if swap is not None:
                profile, old_profile = swap, ProfileShare(now.profile)
                changed = changed - _PROFILE
            else:
                profile = profile_for(kernel, state.profiles, asked)
                heir = replace(asked, profile=profile.number)
                old_profile = release_profile(kernel, state.profiles, now, [*others, heir])
    after = replace(
        acquired.tunnel,
        profile=profile.number,
        profile_missing=now.profile_missing and not changed & _PROFILE,
    )
    if profile is not swap and (profile.steps or profile.number != now.profile):
        changed = changed | {"profile"}
    limit = [] if changed & _LINK else take(world.kernel(seen.stands), seen.stands, now, after.segmented)
    # single packets before headers that differ, and large ones only after them
    plan.steps += [*(limit if after.segmented else []), *profile.steps, *acquired.steps]
    plan.steps += _link_steps(world, seen, after, profile, state, changed)
    plan.steps += [] if after.segmented else limit
    plan.steps += [*released.steps, *old_profile.steps]
    plan.diff = [*profile.diff, *acquired.diff, *_diff(now, after)]
    plan.diff += [*released.diff, *old_profile.diff]
    plan.notes += released.notes
    if now.up and changed & _LINK:
        plan.notes.append(
            f"{now.name} goes down for a moment: routes through it that are not those"
            " of its own addresses have to be made again"
        )
    return plan, after


def _diff(now: Tunnel, after: Tunnel) -> list[str]:
    old, new = summary(now), summary(after)
    if old == new:
        return []
    return [f"~ tunnel {old}", f"  -> {new}"]


def _link_steps(
    world: World,
    seen: Seen,
    after: Tunnel,
    profile: ProfileShare,
    state: State,
    changed: set[str],
) -> list[Step]:
    now = seen.tunnel
    name = now.name
    kernel = world.kernel(seen.stands)
    before = now.link
    if before is None:
        raise AssertionError("a tunnel that is seen has a link")
    new = to_link(after, state.info)
    steps = []
    down = bool(changed & _LINK)
    if down and now.up:
        steps.append(_down(world, seen, kernel))
    if down:
        steps.append(_change(seen, after, profile, state, kernel, before))
    if new.mtu != before.mtu and not down:
        steps.append(
            Step(
                f"set the mtu of {name} to {new.mtu}",
                lambda: kernel.link_set(name, mtu=new.mtu),
                lambda: kernel.link_set(name, mtu=before.mtu),
                (ipwords.ip(seen.stands, "link", "set", name, "mtu", new.mtu),),
            )
        )
    if new.alias != before.alias:
        steps.append(
            Step(
                f"note the port in the alias of {name}",
                lambda: kernel.link_set(name, alias=new.alias),
                lambda: kernel.link_set(name, alias=before.alias),
                (ipwords.ip(seen.stands, "link", "set", name, "alias", f"'{new.alias}'"),),
            )
        )
    steps += _addresses(seen, after, kernel)
    if after.up and (down or not now.up):
        steps += _up(seen, after, kernel)
    elif not after.up and now.up and not down:
        steps.append(_down(world, seen, kernel))
    return steps


def _down(world: World, seen: Seen, kernel: Door) -> Step:
    now = seen.tunnel
    return Step(
        f"take {now.name} down",
        lambda: kernel.link_set(now.name, up=False),
        lambda: _bring_up(kernel, now.name, now.addresses),
        (ipwords.ip(seen.stands, "link", "set", now.name, "down"),),
    )


def _bring_up(kernel: Door, name: str, addresses: tuple[str, ...]) -> None:
    """Up, and the IPv6 addresses again that going down has taken. Never without an encapsulation."""
    link = kernel.link(name)
    if link is not None and link.encap_type == 0:
        raise GutctlError(
            f"{name} stays down: it has lost its encapsulation, and would send plain packets",
            f"gutctl tunnel del {name}, then tunnel add",
        )
    kernel.link_set(name, up=True)
    for cidr in addresses:
        _address_there(kernel, name, cidr)


def _up(seen: Seen, after: Tunnel, kernel: Door) -> list[Step]:
    name = seen.tunnel.name
    steps = [
        Step(
            f"bring {name} up",
            lambda: kernel.link_set(name, up=True),
            lambda: kernel.link_set(name, up=False),
            (ipwords.ip(seen.stands, "link", "set", name, "up"),),
        )
    ]
    for cidr in after.addresses:
        if ":" in cidr and cidr in seen.tunnel.addresses:
            # going down again is this one's undo
            command = ipwords.ip(seen.stands, "address", "replace", cidr, "dev", name)
            steps.append(
                Step(
                    f"put the address {cidr} of {name} back",
                    partial(_address_there, kernel, name, cidr),
                    None,
                    (command,),
                )
            )
    return steps


def _address_there(kernel: Door, name: str, cidr: str) -> None:
    """Add an address that going down has taken, unless the kernel was told to keep it."""
    link = kernel.link(name)
    if link is not None and cidr not in link.addresses:
        kernel.address_add(name, cidr)


def _change(seen: Seen, after: Tunnel, profile: ProfileShare, state: State, kernel: Door, before: Link) -> Step:
    def wanted() -> Link:
        link = to_link(replace(after, profile=profile.number), state.info)
        # the alias has a step of its own; the MTU must fit the header at every moment
        return replace(
            link,
            kind=before.kind,
            device=before.device,
            ikey=before.ikey,
            okey=before.okey,
            iflags=before.iflags,
            oflags=before.oflags,
            alias=before.alias,
        )

    def change() -> None:
        try:
            kernel.link_change(wanted())
        except BaseException:
            # what it refuses leaves the link without an encapsulation
            kernel.link_change(before)
            raise

    return Step(
        f"change link {after.name}",
        change,
        lambda: kernel.link_change(before),
        ipwords.link_change(seen.stands, after, wanted(), before),
    )


def _addresses(seen: Seen, after: Tunnel, kernel: Door) -> list[Step]:
    name = seen.tunnel.name
    old, new = seen.tunnel.addresses, after.addresses
    steps = []
    for cidr in old:
        if cidr not in new:
            steps.append(
                Step(
                    f"take the address {cidr} from {name}",
                    partial(_address_gone, kernel, name, cidr),
                    partial(kernel.address_add, name, cidr),
                    (ipwords.ip(seen.stands, "address", "del", cidr, "dev", name),),
                )
            )
    for cidr in new:
        if cidr not in old:
            steps.append(
                Step(
                    f"give {name} the address {cidr}",
                    partial(kernel.address_add, name, cidr),
                    partial(_address_gone, kernel, name, cidr),
                    (ipwords.ip(seen.stands, "address", "add", cidr, "dev", name),),
                )
            )
    return steps


def _address_gone(kernel: Door, name: str, cidr: str) -> None:
    """Remove an address; going down may have removed it already."""
    link = kernel.link(name)
    if link is not None and cidr in link.addresses:
        kernel.address_del(name, cidr)
