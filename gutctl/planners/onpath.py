# SPDX-License-Identifier: Apache-2.0
"""``onpath set``: what a device does with GUT-less packets that are forwarded and leave by it."""

from __future__ import annotations

from collections.abc import Sequence

from gutctl.errors import UnsupportedError, UsageError
from gutctl.model import DEFAULT_PORT, OnPath
from gutctl.plan import Plan, Step, Verdict
from gutctl.planners.words import on_off
from gutctl.world import World

__all__ = ["PORTS_MAX", "check_onpath", "onpath_text", "plan_onpath_set"]

PORTS_MAX = 8
"""Destination ports that a device looks at, at most."""


def check_onpath(world: World) -> None:
    """Raise UnsupportedError where the loaded module does nothing on the path."""
    if "onpath" not in world.door.info().features:
        raise UnsupportedError("the loaded module gutless does nothing on the path", "load a newer one")


def onpath_text(one: OnPath) -> str:
    """``min-path-mtu on, port 6080,7000``."""
    text = f"min-path-mtu {on_off(one.min_path_mtu)}"
    return f"{text}, port {','.join(map(str, one.ports))}" if one.ports else text


def _checked(ports: Sequence[int], min_path_mtu: bool) -> tuple[int, ...]:
    if not min_path_mtu:
        raise UsageError("--port: a device that lowers nothing looks at no port", "give --min-path-mtu on, or leave out --port")
    if len(ports) > PORTS_MAX:
        raise UsageError(f"--port: {len(ports)} ports; a device looks at {PORTS_MAX} at most")
    if len(set(ports)) < len(ports):
        raise UsageError("--port: the same port is given twice")
    return tuple(ports)


def plan_onpath_set(
    world: World, device: str, min_path_mtu: bool, ports: Sequence[int] | None = None
) -> tuple[Plan, OnPath]:
    """The plan, and the device as it will be. ``ports`` None: as they are, or the default.

    Raises NotFoundError where there is no such device, UsageError for ports that cannot be,
    UnsupportedError for a module that has nothing of this.
    """
    asked = None if ports is None else _checked(ports, min_path_mtu)
    check_onpath(world)
    kernel = world.door
    now = kernel.onpath(kernel.device(device))
    wanted = (now.ports or (DEFAULT_PORT,)) if asked is None else asked
    after = OnPath(now.ifindex, min_path_mtu, wanted if min_path_mtu else (), now.stats)
    name = f"device {device}"
    # the order of ports means nothing
    if (now.min_path_mtu, set(now.ports)) == (after.min_path_mtu, set(after.ports)):
        return Plan(name, Verdict.UNCHANGED), now
    step = Step(
        f"change {name}: {onpath_text(after)}",
        lambda: _put(world, after),
        lambda: _put(world, now),
        (f"# change {name}: no ip equivalent",),
    )
    return Plan(name, Verdict.CHANGED, [step], _diff(device, now, after)), after


def _put(world: World, one: OnPath) -> None:
    world.door.onpath_set(one.ifindex, min_path_mtu=one.min_path_mtu, ports=one.ports or None)


def _diff(device: str, now: OnPath, after: OnPath) -> list[str]:
    lines = []
    if now.min_path_mtu != after.min_path_mtu:
        lines.append(f"~ {device}  min-path-mtu {on_off(now.min_path_mtu)} -> {on_off(after.min_path_mtu)}")
    if set(now.ports) != set(after.ports):
        were, will = (",".join(map(str, one.ports)) or "none" for one in (now, after))
        lines.append(f"~ {device}  port {were} -> {will}")
    return lines
