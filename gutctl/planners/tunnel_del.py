# SPDX-License-Identifier: Apache-2.0
"""``tunnel del``: its share of the port, its profile, its link.

The link goes last: ports and profiles can be put back exactly, a link could not.
"""

from __future__ import annotations

from gutctl import ipwords
from gutctl.errors import ConflictError, NotFoundError
from gutctl.plan import Plan, Step, Verdict
from gutctl.planners.receiving import release
from gutctl.planners.sharing import release_profile
from gutctl.world import Seen, World

__all__ = ["find_tunnel", "plan_del"]


def find_tunnel(world: World, name: str) -> Seen | None:
    """The tunnel that stands here under this name.

    Raises ConflictError where the name is another device's.
    """
    seen = world.standing(world.here, name)
    if seen:
        return seen[0]
    link = world.door.link(name)
    if link is not None:
        raise ConflictError(
            f"{name} is a device of kind {link.kind or 'unknown'}, not a tunnel of {world.module or 'gutless or fou'}",
            ipwords.ip(world.here, "link", "show", name),
        )
    return None


def plan_del(world: World, name: str, *, must_exist: bool = False) -> Plan:
    """The plan; ``absent`` without steps where there is none."""
    seen = find_tunnel(world, name)
    if seen is None:
        if must_exist:
            raise NotFoundError(f"there is no tunnel {name}", "gutctl tunnel list")
        return Plan(f"tunnel {name}", Verdict.ABSENT)
    world = world.using(seen.tunnel.module)
    plan = Plan(f"tunnel {name}", Verdict.DELETED)
    if seen.reachable:
        _let_go(world, seen, plan)
    else:
        left = [] if seen.tunnel.port is None else [f"port {seen.tunnel.port}/udp"]
        left += [f"profile {seen.tunnel.profile}"] if seen.tunnel.profile else []
        if left:
            plan.notes.append(
                f"{name} sends from a namespace that cannot be reached from here:"
                f" {' and '.join(left)} there may be left"
            )
    kernel = world.kernel(seen.stands)
    plan.steps.append(
        Step(
            f"delete link {name}",
            lambda: kernel.link_del(name),
            None,
            (ipwords.ip(seen.stands, "link", "del", name),),
        )
    )
    plan.diff.append(f"- tunnel {name}")
    return plan


def _let_go(world: World, seen: Seen, plan: Plan) -> None:
    kernel = world.kernel(seen.sends)
    state = world.state(seen.sends, needed=False)
    if state.info is None:
        plan.notes.append(f"the {seen.tunnel.module} module is not loaded, so there is no port to close")
        return
    tunnel = seen.tunnel
    if tunnel.port is None and not tunnel.profile:
        return
    others = [
        other.tunnel
        for other in world.sending(seen.sends)
        if not (other.tunnel.name == tunnel.name and world.same(other.stands, seen.stands))
    ]
    port = release(kernel, state.ports, tunnel, others)
    profile = release_profile(kernel, state.profiles, tunnel, others)
    plan.steps += [*port.steps, *profile.steps]
    plan.diff += [*port.diff, *profile.diff]
    plan.notes += port.notes
