# SPDX-License-Identifier: Apache-2.0
"""``gutctl onpath``."""

from __future__ import annotations

import click

from gutctl import checks
from gutctl.cli.context import Checked, Session, changing, common, pass_session
from gutctl.cli.onpath_text import details, list_rows, result_lines
from gutctl.cli.output import carry_out, columns, show
from gutctl.model import OnPath
from gutctl.planners.onpath import check_onpath, plan_onpath_set
from gutctl.records import Record, onpath_record
from gutctl.world import World

__all__ = ["onpath"]

DEVICE = Checked("DEV", checks.device_name)
PORT = Checked("N", lambda text: checks.port_number(text, "--port"))


@click.group()
@common
def onpath() -> None:
    """What a forwarding host does with GUT-less packets of others that pass.

    Off for every device, until it is told. A device tells what happens to packets
    that are forwarded and leave by it.
    """


@onpath.command(name="set")
@click.argument("device", type=DEVICE)
@click.option(
    "--min-path-mtu",
    type=click.Choice(["on", "off"]),
    required=True,
    help="Lower the option of this name to the MTU of the way.",
)
@click.option("--port", "ports", type=PORT, multiple=True, help="UDP destination looked at; up to 8.  [6080]")
@changing
@pass_session
def set_(session: Session, device: str, min_path_mtu: str, ports: tuple[int, ...]) -> None:
    """Switch a device on or off, and say which ports it looks at; those not given stay."""
    world = _world(session)
    plan, after = plan_onpath_set(world, device, min_path_mtu == "on", ports or None)

    def record(done: bool) -> Record:
        return onpath_record(world.door.onpath(after.ifindex) if done else after, device)

    carry_out(session, plan, "onpath", lambda: f"device {device}", record, result_lines)


def _world(session: Session) -> World:
    return session.gutless("devices on the path")


def _record(world: World, one: OnPath) -> Record:
    return onpath_record(one, world.door.device_name(one.ifindex))


@onpath.command(name="show")
@click.argument("device", type=DEVICE)
@common
@pass_session
def show_(session: Session, device: str) -> None:
    """Print what a device does on the path, and every counter."""
    world = _world(session)
    check_onpath(world)
    one = world.door.onpath(world.door.device(device))
    show(session, {"onpath": onpath_record(one, device)}, lambda r: details(r["onpath"]))


@onpath.command(name="list")
@common
@pass_session
def list_(session: Session) -> None:
    """Print the devices of this namespace that do something."""
    world = _world(session)
    check_onpath(world)
    records = [_record(world, one) for one in world.door.onpaths()]
    show(session, {"onpath": records}, lambda r: columns(list_rows(r["onpath"])))
