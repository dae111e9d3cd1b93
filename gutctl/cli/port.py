# SPDX-License-Identifier: Apache-2.0
"""``gutctl port``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click

from gutctl import checks
from gutctl.backend import backend
from gutctl.cli.context import OPTION_TYPE, RULE, Checked, Session, changing, common, pass_session
from gutctl.cli.gue_text import gue_given, gue_options
from gutctl.cli.output import carry_out, columns, note, show
from gutctl.cli.port_text import details, list_rows, result_lines
from gutctl.errors import NotFoundError, UnsupportedError, UsageError
from gutctl.keyfile import parse_key
from gutctl.model import Answer, GueFields, Key, Module, Port, PortKey, ReceiveRule
from gutctl.plan import Plan
from gutctl.planners.port import PortChange, plan_port_add, plan_port_del, plan_port_set
from gutctl.planners.words import port_name
from gutctl.records import Record, port_record
from gutctl.world import World

__all__ = ["finish", "key_options", "named_key", "one_for_each", "port", "record_of"]

F = TypeVar("F", bound=Callable[..., Any])

PREFIX = Checked("PREFIX", lambda text: checks.prefix(text))
ANSWERS = "What it sends of its own accord: echo, report, both with a comma, or none.  [echo,report]"
REMCSUM = "Write a checksum that the sender left to us at once, not when it is needed."
KEYS = "A key that packets may be signed by: ID, and the file with its secret; may be repeated: docs/extensions.md."
REQUIRE = "Drop packets that are signed by none of the keys, whatever their format."
KEY = Checked("ID=@FILE", lambda text: parse_key(text, f"--key {text}"))
RULES = "What is done about a type of option: ignore, require, drop, deliver; may be repeated: docs/extensions.md."
VERIFY = "What the kernel verifies of packets with a Check word: all, or headers where they tell it."
OPEN = "everybody can now inject packets here (the class of CVE-2024-7596): --from is safer"


def _number(text: str) -> int:
    """A port; 0, for which the in-tree module has one of a number that it does not tell, only where it is."""
    return 0 if text == "0" else checks.port_number(text)


def key_options(function: F) -> F:
    """What names a port: number, family, local address, device."""
    for decorator in reversed(
        [
            click.argument("number", metavar="PORT", type=Checked("PORT", _number)),
            click.option(
                "--local", type=Checked("ADDR", checks.local_address),
                help="Bound to this local address.  [any]",
            ),
            click.option(
                "--dev", type=Checked("DEV", checks.device_name),
                help="Bound to this device; wants --local as well.",
            ),
            click.option("-4", "family", flag_value=4, type=int, help="IPv4, as --family 4."),
            click.option("-6", "family", flag_value=6, type=int, help="IPv6, as --family 6."),
            click.option(
                "--family", "family_word", type=click.Choice(["4", "6"]),
                help="Outer family.  [that of the addresses, else 4]",
            ),
        ]
    ):  # fmt: skip
        function = decorator(function)
    return function


def receive_options(function: F) -> F:
    """What a port takes."""
    for decorator in reversed(
        [
            click.option(
                "--accept", "accepted", type=Checked("FORMATS", checks.accept),
                help="gue0,bare,gutless: any of these; or fou:PROTO alone."
                "  [gue0,bare,gutless; module fou: gue0,bare]",
            ),
            click.option(
                "--inner", type=Checked("PROTOS", checks.inner_protocols),
                help="Inner protocols that are let in.  [4,41,47,143; fou: its own; module fou: all]",
            ),
            click.option(
                "--from", "sources", multiple=True, type=PREFIX,
                help="Who may send to it; may be repeated.",
            ),
            gue_options("Require"),
        ]
    ):  # fmt: skip
        function = decorator(function)
    return function


def named_key(session: Session, given: dict[str, Any], more: Sequence[Any] = (), *, adding: bool = False) -> PortKey:
    """The port meant; the family is that of any address given."""
    if not given["number"] and (adding or session.only is not Module.FOU):
        checks.port_number("0")
    words = {given["family"], given["family_word"] and int(given["family_word"])}
    prefixes = checks.one_family([*given.get("sources", ()), *more])
    local = given["local"]
    words |= {prefixes, None if local is None else local.version}
    families: set[int] = {word for word in words if word}
    if len(families) > 1:
        raise UsageError(
            "addresses, prefixes and family given are not of one family",
            "a port has one family: make two ports",
        )
    family = families.pop() if families else 4
    if given["dev"] and local is None:
        raise UsageError("--dev: the kernel wants a local address with a device", "add --local ADDR")
    ifindex = session.world.door.device(given["dev"]) if given["dev"] else 0
    return PortKey(family, given["number"], local, ifindex)


@click.group()
@common
def port() -> None:
    """A receiving UDP port: what it accepts, and from whom."""


@port.command()
@key_options
@receive_options
@click.option("--any-source", is_flag=True, help="Let everybody send to it.")
@click.option(
    "--from-port", type=Checked("PORT", checks.port_number),
    help="Module fou: the source port from which the one of --from may send.",
)
@click.option("--zero-csum6", is_flag=True, help="Accept UDP checksum 0 over IPv6 (RFC 6935).")
@click.option("--remcsum-nopartial/--no-remcsum-nopartial", default=False, help=REMCSUM)
@click.option("--rule", "rules", multiple=True, type=RULE, help=RULES)
@click.option("--key", "keys", multiple=True, type=KEY, help=KEYS)
@click.option("--require-auth", is_flag=True, help=REQUIRE)
@click.option("--control", "answers", type=Checked("ANSWERS", checks.answers), help=ANSWERS)
@click.option("--verify", type=click.Choice(["all", "headers"]), default="all", help=VERIFY, show_default=True)
@changing
@pass_session
def add(session: Session, /, **given: Any) -> None:
    """Open a port, and keep it when tunnels that use it go."""
    number = given["number"]
    if not given["sources"] and not given["any_source"]:
        raise UsageError(f"who may send to port {number}? Give --from PREFIX, or --any-source")
    if given["sources"] and given["any_source"]:
        raise UsageError("--any-source and --from: who may send, everybody or these?")
    key = named_key(session, given, adding=True)
    if given["zero_csum6"] and key.family == 4:
        raise UsageError("--zero-csum6: over IPv4 a packet without a checksum is always accepted")
    does = backend(session.only or Module.GUTLESS)
    formats, fou_protocol = given["accepted"] or (does.accept, None)
    default = frozenset({fou_protocol}) if fou_protocol is not None else does.inner
    inner = given["inner"] or default
    if fou_protocol is not None and given["remcsum_nopartial"]:
        raise UsageError("--remcsum-nopartial: FOU has no header that could leave a checksum to this end")
    if given["answers"] is not None and (fou_protocol is not None or not does.counters):
        raise UsageError("--control: FOU, and the in-tree module, have no control messages to answer")
    if fou_protocol is not None and fou_protocol not in inner:
        raise UsageError(f"--inner: a FOU port's protocol, {fou_protocol}, is its inner one")
    wanted = Port(
        key,
        formats,
        fou_protocol,
        inner,
        any_source=given["any_source"],
        sources=frozenset(given["sources"]),
        zero_csum6=given["zero_csum6"] or (key.family == 6 and not does.source_lists),
        remcsum_nopartial=given["remcsum_nopartial"],
        rules=frozenset(one_for_each(given["rules"])),
        keys=_one_of_each(given["keys"]),
        require_auth=given["require_auth"],
        answers=frozenset(Answer) if given["answers"] is None else given["answers"],
        verify_headers=given["verify"] == "headers",
        module=does.module,
        from_port=given["from_port"] or 0,
        gue=GueFields(**gue_given(given)),
    )
    does.check_port(wanted)
    if given["any_source"]:
        note(f"{port_name(wanted)}: {OPEN}")
    world = session.world.using(does.module)
    plan, after = plan_port_add(world, wanted, session.command("port"))
    finish(session, world, plan, after)


def _one_of_each(keys: Sequence[Key]) -> frozenset[Key]:
    """The keys. Raises UsageError for two of one id."""
    for at, key in enumerate(keys):
        if key.id in (other.id for other in keys[:at]):
            raise UsageError(f"--key: two of id {key.id}", "the id is how a packet names its key")
    return frozenset(keys)


def one_for_each(rules: Sequence[ReceiveRule]) -> Sequence[ReceiveRule]:
    """The rules. Raises UsageError for two that speak of one type."""
    for at, rule in enumerate(rules):
        if rule.type in (other.type for other in rules[:at]):
            raise UsageError(f"--rule: two for option 0x{rule.type:02x}", "a port has one rule for a type")
    return rules


def holder(session: Session, key: PortKey) -> World:
    """The namespaces, for the module that was asked for, else for the one that has such a port, else for gutless."""
    world = session.world
    if session.only:
        return world.using(session.only)
    for module in Module:
        with suppress(UnsupportedError):  # it is not loaded
            if world.using(module).door.port(key) is not None:
                return world.using(module)
    return world.using(Module.GUTLESS)


@port.command(name="set")
@key_options
@receive_options
@click.option("--add-from", multiple=True, type=PREFIX, help="Let these in as well.")
@click.option("--del-from", multiple=True, type=PREFIX, help="Let these in no longer.")
@click.option("--any-source/--no-any-source", default=None, help="Let everybody send to it.")
@click.option("--zero-csum6/--no-zero-csum6", default=None, help="Accept UDP checksum 0 over IPv6.")
@click.option("--remcsum-nopartial/--no-remcsum-nopartial", default=None, help=REMCSUM)
@click.option("--rule", "rules", multiple=True, type=RULE, help=RULES)
@click.option("--key", "keys", multiple=True, type=KEY, help=KEYS)
@click.option("--no-key", "no_keys", multiple=True, type=click.IntRange(0, 65535), help="Without the key of this id; may be repeated.")
@click.option("--require-auth/--no-require-auth", default=None, help=REQUIRE)
@click.option("--no-rule", "no_rules", multiple=True, type=OPTION_TYPE, help="No rule for this type any more; may be repeated.")
@click.option("--control", "answers", type=Checked("ANSWERS", checks.answers), help=ANSWERS.partition("  [")[0])
@click.option("--verify", type=click.Choice(["all", "headers"]), help=VERIFY)
@changing
@pass_session
def set_(session: Session, /, **given: Any) -> None:
    """Change what is given while the port runs; --from replaces all prefixes."""
    key = named_key(session, given, [*given["add_from"], *given["del_from"]])
    settings: dict[str, Any] = {
        name: given[name]
        for name in ("any_source", "zero_csum6", "remcsum_nopartial", "require_auth", "answers")
        if given[name] is not None
    }
    if given["zero_csum6"] and key.family == 4:
        raise UsageError("--zero-csum6: over IPv4 a packet without a checksum is always accepted")
    if given["verify"]:
        settings["verify_headers"] = given["verify"] == "headers"
    if given["accepted"]:
        settings["accept"], settings["fou_protocol"] = given["accepted"]
    if given["inner"]:
        settings["inner"] = given["inner"]
    if fields := gue_given(given):
        settings["gue"] = fields
    replace_all = frozenset(given["sources"]) if given["sources"] else None
    if replace_all is not None and "any_source" not in settings:
        settings["any_source"] = False
    if replace_all is not None and (given["add_from"] or given["del_from"]):
        raise UsageError("--from replaces all prefixes: --add-from and --del-from say nothing then")
    rules, gone = one_for_each(given["rules"]), frozenset(given["no_rules"])
    if any(rule.type in gone for rule in rules):
        raise UsageError("--rule and --no-rule for one type: with it, or without?")
    keys, dropped = _one_of_each(given["keys"]), frozenset(given["no_keys"])
    if any(one.id in dropped for one in keys):
        raise UsageError("--key and --no-key of one id: with it, or without?")
    prefixes = frozenset(given["add_from"]), frozenset(given["del_from"]), replace_all
    change = PortChange(key, settings, *prefixes, tuple(rules), gone, tuple(keys), dropped)
    if change == PortChange(key):
        raise UsageError("nothing to change was given", "gutctl port set --help")
    if given["any_source"]:
        note(f"{port_name(key)}: {OPEN}")
    world = holder(session, key)
    plan, after = plan_port_set(world, change)
    finish(session, world, plan, after)


@port.command(name="del")
@key_options
@click.option("--must-exist", is_flag=True, help="Exit with 5 when there is none.")
@click.option("--force", is_flag=True, help="Also when tunnels receive on it.")
@changing
@pass_session
def del_(session: Session, /, **given: Any) -> None:
    """Close a port."""
    key = named_key(session, given)
    world = holder(session, key)
    plan = plan_port_del(world, key, must_exist=given["must_exist"], force=given["force"])
    carry_out(session, plan, "port", lambda: port_name(key), lambda _: None, result_lines)


def finish(session: Session, world: World, plan: Plan, after: Port) -> None:
    """Carry out a plan for a port, and print the port."""
    def record(done: bool) -> Record:
        now = world.door.port(after.key) if done else None
        return record_of(session, now or after)

    carry_out(session, plan, "port", lambda: port_name(after), record, result_lines)


def record_of(session: Session, one: Port) -> Record:
    """The port's record, with the name of its device."""
    device = None
    if one.key.ifindex:
        device = session.world.door.device_name(one.key.ifindex) or f"#{one.key.ifindex}"
    return port_record(one, device)


@port.command(name="show")
@key_options
@common
@pass_session
def show_(session: Session, /, **given: Any) -> None:
    """Print every field and counter of a port."""
    key = named_key(session, given)
    one = holder(session, key).door.port(key)
    if one is None:
        raise NotFoundError(f"there is no {port_name(key)}", f"{session.command('port')} list")
    show(session, {"port": record_of(session, one)}, lambda r: details(r["port"]))


@port.command(name="list")
@common
@pass_session
def list_(session: Session) -> None:
    """Print all ports of this namespace, of every module that is loaded."""
    records = [record_of(session, one) for one in _ports(session)]
    show(session, {"ports": records}, lambda r: columns(list_rows(r["ports"])))
    if not session.json and any(not record["port"] for record in records):
        note("port 0: the kernel chose a number and does not tell it; gutctl port del 0 --module fou closes it")


def _ports(session: Session) -> list[Port]:
    """Of the module asked for, else of all that are there; raises where none is."""
    modules = [session.only] if session.only else list(Module)
    found: list[Port] = []
    missing = []
    for module in modules:
        try:
            found += session.world.using(module).door.ports()
        except UnsupportedError as error:
            missing.append(error)
    if len(missing) == len(modules):
        raise missing[0]
    return found
