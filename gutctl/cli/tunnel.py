# SPDX-License-Identifier: Apache-2.0
"""``gutctl tunnel``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, TypeVar

import click

from gutctl import checks
from gutctl.backend import backend
from gutctl.cli.context import NAME, OPTION, OPTION_HELP, Checked, Session, changing, common, pass_session
from gutctl.cli.gue_text import gue_given, gue_options
from gutctl.cli.output import carry_out, columns, show
from gutctl.cli.tunnel_text import list_rows, result_lines, show_lines
from gutctl.errors import NotFoundError, UsageError
from gutctl.kinds import KINDS, MODES, usual_kind
from gutctl.model import DEFAULT_PORT, DEFAULT_SOURCE_PORTS, Address, Csum, Format, GueFields, Module
from gutctl.plan import Plan
from gutctl.planners.sharing import find_port
from gutctl.planners.tunnel_add import AddRequest, plan_add
from gutctl.planners.tunnel_del import find_tunnel, plan_del
from gutctl.planners.tunnel_set import SetRequest, plan_set
from gutctl.planners.words import port_name
from gutctl.records import Record, port_record, seen_record, tunnel_record
from gutctl.tunnel import PROTOCOL, Inner, Tunnel
from gutctl.world import Seen, State

__all__ = ["finish", "tunnel"]

F = TypeVar("F", bound=Callable[..., Any])
AUTO = "auto"
ANY = "any"


def _ttl(text: str) -> int:
    if text == "inherit":
        return 0
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 255:
        raise UsageError(f"--ttl {text}: 1 to 255, or inherit")
    return int(text)


def _tos(text: str) -> int:
    if text == "inherit":
        return 1
    try:
        value = int(text, 0)
    except ValueError:
        raise UsageError(f"--tos {text}: 0 to 255, or inherit") from None
    if not 0 <= value <= 255 or value == 1:
        raise UsageError(f"--tos {text}: 0 to 255 without 1, which means inherit to the kernel")
    return value


def _mtu(text: str) -> int | str:
    if text == AUTO:
        return AUTO
    if not (text.isascii() and text.isdigit()) or not 68 <= int(text) <= 65535:
        raise UsageError(f"--mtu {text}: 68 to 65535 octets, or auto: as the route says")
    return int(text)


def _local_or_any(text: str) -> Address | str:
    return ANY if text == ANY else checks.local_address(text)


def inside(function: F) -> F:
    """What is inside: settled when the tunnel is made."""
    for option in reversed(
        [
            click.option(
                "--mode", type=click.Choice(MODES),
                help="What is inside: IP, GRE, or Ethernet frames (in GRE).  [ip]",
            ),
            click.option(
                "--inner", type=click.Choice([i.value for i in Inner]),
                help="What IP is inside, in mode ip; format fou takes ipv4 or ipv6.  [any; fou: ipv4]",
            ),
            click.option(
                "--key", type=Checked("N|A.B.C.D", checks.gre_key),
                help="GRE key, sent and demanded; in modes gre and eth.  [none]",
            ),
            click.option(
                "--link-kind", type=click.Choice(list(KINDS)),
                help="The kernel's kind of link, for those who know them.  [as --mode and --remote say]",
            ),
        ]
    ):  # fmt: skip
        function = option(function)
    return function


def settings(function: F) -> F:
    """The options that ``tunnel add`` and ``tunnel set`` share."""
    for option in reversed(
        [
            click.option(
                "--format", "form", type=click.Choice([f.value for f in Format]),
                help="What is sent.  [gutless]",
            ),
            click.option(
                "--port", type=Checked("PORT", checks.port_number),
                help=f"UDP port to receive on; tunnels share it.  [{DEFAULT_PORT}]",
            ),
            click.option(
                "--peer-port", type=Checked("PORT", checks.port_number),
                help="UDP port the peer receives on.  [as --port]",
            ),
            click.option(
                "--sport", type=Checked("auto|N|MIN-MAX", checks.source_ports),
                help="UDP source port: by flow, fixed (NAT), or by flow within a range."
                f"  [auto: {DEFAULT_SOURCE_PORTS[0]}-{DEFAULT_SOURCE_PORTS[1]}]",
            ),
            click.option(
                "--csum", type=click.Choice([c.value for c in Csum]),
                help="Outer UDP checksum; remote: inner ones left to the peer.  [full]",
            ),
            click.option(
                "--option", "options", multiple=True, type=OPTION,
                help=OPTION_HELP,
            ),
            click.option(
                "--pmtudisc/--no-pmtudisc", default=None,
                help="Set DF in outer IPv4 packets.  [pmtudisc]",
            ),
            click.option(
                "--address", "addresses", multiple=True,
                type=Checked("ADDR/LEN", checks.interface_address),
                help="Address of the device; may be repeated.",
            ),
            click.option(
                "--mtu", type=Checked("N|auto", _mtu),
                help="Largest inner packet, octets.  [auto: route's less headers]",
            ),
            click.option(
                "--ttl", type=Checked("N|inherit", _ttl), help="Outer TTL or hop limit.  [64]"
            ),
            click.option(
                "--tos", type=Checked("N|inherit", _tos),
                help="Outer TOS or traffic class.  [0]",
            ),
            click.option(
                "--from", "sources", multiple=True,
                type=Checked("PREFIX", lambda text: checks.prefix(text)),
                help="Who may send to the port; may be repeated.  [the peer]",
            ),
            gue_options("Send, and require of the peer,"),
        ]
    ):  # fmt: skip
        function = option(function)
    return function


@click.group()
@common
def tunnel() -> None:
    """A tunnel: a sending device, and the UDP port that receives for it."""


@tunnel.command()
@click.argument("name", type=NAME)
@click.option(
    "--remote", type=Checked("ADDR", checks.remote_address), required=True,
    help="The peer's address; the outer packets are of its family.",
)  # fmt: skip
@click.option(
    "--local", type=Checked("ADDR", checks.local_address),
    help="This end's address.  [IPv4: any, IPv6: as the route says]",
)  # fmt: skip
@inside
@settings
@click.option("--any-source", is_flag=True, help="Let everybody send to the port.")
@click.option("--no-port", is_flag=True, help="Send only: open no receiving port.")
@click.option("--move-to", metavar="NETNS", help="Move the device to this namespace; it sends from here.")
@changing
@pass_session
def add(session: Session, /, **given: Any) -> None:
    """Make a tunnel: port, device, addresses, up. All of it or nothing."""
    request = _add_request(session, given)
    plan, wanted = plan_add(session.world, request)
    stands = request.move_to if request.move_to is not None else session.world.here
    finish(session, plan, wanted, stands)


def _add_request(session: Session, given: dict[str, Any]) -> AddRequest:
    does = backend(session.only or Module.GUTLESS)
    form = Format(given["form"] or does.formats[0])
    kind = given["link_kind"]
    mode = given["mode"] or (KINDS[kind].mode if kind else "ip")
    if given["any_source"] and given["sources"]:
        raise UsageError("--any-source and --from: who may send, everybody or these?")
    if given["no_port"] and (given["port"] or given["sources"] or given["any_source"]):
        raise UsageError("--no-port opens no port: --port, --from and --any-source say nothing")
    inner = Inner(given["inner"]) if given["inner"] else _inner(mode, form, kind)
    mtu = None if given["mtu"] == AUTO else given["mtu"]
    port = given["port"] or DEFAULT_PORT
    wanted = Tunnel(
        name=given["name"],
        remote=given["remote"],
        local=given["local"],
        mode=mode,
        link_kind=_unless_usual(kind, mode, given["remote"], inner),
        key=given["key"],
        format=form,
        inner=inner,
        port=None if given["no_port"] else port,
        peer_port=given["peer_port"] or port,
        source_ports=given["sport"] or DEFAULT_SOURCE_PORTS,
        csum=Csum(given["csum"] or Csum.FULL),
        options=given["options"],
        gue=GueFields(**gue_given(given)),
        mtu=mtu,
        mtu_fixed=mtu is not None,
        ttl=64 if given["ttl"] is None else given["ttl"],
        tos=given["tos"] or 0,
        pmtudisc=given["pmtudisc"] is not False,
        addresses=tuple(dict.fromkeys(given["addresses"])),
        sources=frozenset(given["sources"]),
        any_source=given["any_source"],
        module=does.module,
    )
    return AddRequest(
        wanted,
        sources_given=bool(given["sources"]),
        addresses_given=bool(given["addresses"]),
        move_to=given["move_to"],
        set_command=f"{session.command('tunnel')} set",
    )


def _inner(mode: str, form: Format, kind: str | None) -> Inner:
    """What is inside when nobody says it."""
    if mode == "ip" and (form is Format.FOU or kind == "ipip"):
        return Inner.IPV6 if kind == "sit" else Inner.IPV4
    return Inner.ANY


def _unless_usual(kind: str | None, mode: str, remote: Address, inner: Inner) -> str:
    """A kind that is taken anyhow need not be asked for: it is the same tunnel."""
    if kind is None or kind == usual_kind(mode, remote.version, PROTOCOL[inner]):
        return ""
    return kind


@tunnel.command(name="set")
@click.argument("name", type=NAME)
@click.option("--remote", type=Checked("ADDR", checks.remote_address), help="The peer's address.")
@click.option("--local", type=Checked("ADDR|any", _local_or_any), help="This end's address, or any.")
@inside
@settings
@click.option("--any-source/--no-any-source", default=None, help="Let everybody send to the port.")
@click.option("--no-port", is_flag=True, help="Send only: receive on no port.")
@click.option("--no-options", is_flag=True, help="Send without options.")
@click.option("--up/--down", default=None, help="Bring the device up or down.")
@changing
@pass_session
def set_(session: Session, /, **given: Any) -> None:
    """Change what is given. --address, --from and --option replace what is there.

    What is inside (--mode, --inner, --key, --link-kind) a running link cannot change: it is
    only compared.
    """
    name = given["name"]
    changes = _changes(given)
    if not changes:
        raise UsageError("nothing to change was given", "gutctl tunnel set --help")
    plan, after = plan_set(session.world.using(session.only), SetRequest(name, changes))
    finish(session, plan, after, session.world.here)


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    if given["no_port"] and (given["port"] or given["sources"] or given["any_source"]):
        raise UsageError("--no-port opens no port: --port, --from and --any-source say nothing")
    if given["any_source"] and given["sources"]:
        raise UsageError("--any-source and --from: who may send, everybody or these?")
    changes: dict[str, Any] = {
        field: given[name]
        for name, field in (
            ("remote", "remote"), ("local", "local"), ("port", "port"),
            ("peer_port", "peer_port"), ("sport", "source_ports"), ("ttl", "ttl"),
            ("tos", "tos"), ("mtu", "mtu"), ("any_source", "any_source"), ("up", "up"),
            ("pmtudisc", "pmtudisc"), ("mode", "mode"), ("key", "key"), ("link_kind", "kind"),
        )
        if given[name] is not None
    }  # fmt: skip
    if fields := gue_given(given):
        changes["gue"] = fields
    if changes.get("local") == ANY:
        changes["local"] = None
    if changes.get("mtu") == AUTO:
        changes["mtu"] = None
    if given["form"]:
        changes["format"] = Format(given["form"])
    if given["csum"]:
        changes["csum"] = Csum(given["csum"])
    if given["inner"]:
        changes["inner"] = Inner(given["inner"])
    if given["options"] and given["no_options"]:
        raise UsageError("--option and --no-options: with these, or without any?")
    if given["options"] or given["no_options"]:
        changes["options"] = given["options"]
    if given["addresses"]:
        changes["addresses"] = tuple(dict.fromkeys(given["addresses"]))
    if given["sources"]:
        changes["sources"] = frozenset[IPv4Network | IPv6Network](given["sources"])
    if given["no_port"]:
        changes["port"] = None
    return changes


def finish(session: Session, plan: Plan, wanted: Tunnel, stands: Any) -> None:
    """Carry out and print the record: of what runs then, or with --check of what would."""

    def record(done: bool) -> Record:
        if not done:
            return {**tunnel_record(wanted), "receiver": None}
        world = session.world
        found = world.standing(stands, wanted.name)
        if not found:
            return {**tunnel_record(wanted), "receiver": None}
        return _with_receiver(session, found[0])

    carry_out(session, plan, "tunnel", lambda: wanted.name, record, result_lines)


def _state(session: Session, seen: Seen) -> State:
    if not seen.reachable:
        return State(None, [], [])
    return session.world.using(seen.tunnel.module).state(seen.sends, needed=False)


def _with_receiver(session: Session, seen: Seen) -> Record:
    state = _state(session, seen)
    record = seen_record(session.world, seen, state)
    port = find_port(state.ports, seen.tunnel)
    record["receiver"] = None if port is None else {"name": port_name(port), **port_record(port)}
    return record


@tunnel.command(name="del")
@click.argument("name", type=NAME)
@click.option("--must-exist", is_flag=True, help="Exit with 5 when there is none.")
@changing
@pass_session
def del_(session: Session, name: str, must_exist: bool) -> None:
    """Delete a tunnel, and its port when no other tunnel receives on it."""
    plan = plan_del(session.world.using(session.only), name, must_exist=must_exist)
    carry_out(session, plan, "tunnel", lambda: name, lambda _: None, result_lines)


@tunnel.command(name="show")
@click.argument("name", type=NAME)
@common
@pass_session
def show_(session: Session, name: str) -> None:
    """Print every field of a tunnel."""
    seen = find_tunnel(session.world.using(session.only), name)
    if seen is None:
        raise NotFoundError(f"there is no tunnel {name}", f"{session.command('tunnel')} list")
    show(session, {"tunnel": _with_receiver(session, seen)}, lambda r: show_lines(r["tunnel"]))


@tunnel.command(name="list")
@click.option("--stats", is_flag=True, help="With counters.")
@common
@pass_session
def list_(session: Session, stats: bool) -> None:
    """Print the tunnels whose devices stand in this namespace.

    Links of the module fou that this tool did not make are printed with --module fou.
    """
    states: dict[Any, State] = {}
    records = []
    for seen in session.world.using(session.only).standing(session.world.here):
        if seen.tunnel.foreign and session.only is None:
            continue
        key = (seen.sends, seen.tunnel.module) if seen.reachable else object()
        if key not in states:
            states[key] = _state(session, seen)
        records.append(seen_record(session.world, seen, states[key]))

    def lines(record: Record) -> Sequence[str]:
        return columns(list_rows(record["tunnels"], stats=stats))

    show(session, {"tunnels": records}, lines)
    if not session.json:
        for record in records:
            for text in record["notes"]:
                click.echo(f"gutctl: note: {record['name']}: {text}", err=True)
