# SPDX-License-Identifier: Apache-2.0
"""``port add``, ``port set`` and ``port del``.

A port made by ``port add`` is the administrator's: tunnels add their peers to it and
take them away again, and leave everything else alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gutctl.backend import backend
from gutctl.cookies import recall
from gutctl.door import Door
from gutctl.errors import ConflictError, InUseError, NotFoundError, UnsupportedError, UsageError
from gutctl.ext_api import format_rule
from gutctl.keyfile import format_key
from gutctl.model import PORT_KEYS_MAX, Accept, Key, Module, Network, Origin, Port, PortKey, ReceiveRule
from gutctl.plan import Difference, Plan, Step, Verdict, conflict
from gutctl.planners.gue import check_gue_port, gue_options, gue_word, put_back, with_gue
from gutctl.planners.sharing import find_port, no_foreign_socket, no_overlap, open_port, port_command, users, who
from gutctl.planners.words import (
    accept_word,
    answer_list,
    keys_word,
    port_name,
    prefix_list,
    protocol_list,
    receive_rules_word,
    verify_word,
    yes,
)
from gutctl.tunnel import Tunnel
from gutctl.world import State, World

__all__ = ["PortChange", "plan_port_add", "plan_port_del", "plan_port_set"]


def _tunnels(world: World, state: State, port: Port) -> list[Tunnel]:
    return users(port, state.ports, [seen.tunnel for seen in world.sending(world.here)])


def _get(world: World, state: State, key: PortKey) -> Port | None:
    found = next((port for port in state.ports if port.key == key), None)
    if found is None and not _lists(world):
        # a connected one has an address of the kernel's choice in its key
        return world.door.port(key)
    return found


def _lists(world: World) -> bool:
    return backend(world.module or Module.GUTLESS).source_lists


def options(key: PortKey, device: str | None = None) -> str:
    """The words that name a port on the command line, for hints."""
    words = [str(key.port)]
    if key.local is not None:
        words.append(f"--local {key.local}")
    elif key.family == 6:
        words.append("-6")
    if device:
        words.append(f"--dev {device}")
    return " ".join(words)


def _check_verify(port: Port, state: State, before: bool = False) -> list[str]:
    """What is to be known of a port that shall verify headers. UsageError, UnsupportedError where it cannot."""
    if not port.verify_headers:
        return []
    if Accept.GUTLESS not in port.accept:
        raise UsageError(
            f"--verify headers: {port_name(port)} does not accept format gutless, which alone has headers for that",
            "--verify all, or --accept with gutless in it",
        )
    if before:
        return []
    if state.info is not None and "verify-headers" not in state.info.features:
        raise UnsupportedError("the loaded gutless module, or its kernel, verifies all of a packet alone", "--verify all")
    saves = "it saves something where IPv4 behind a Check word is forwarded, and neither device nor GRO has summed it"
    return [f"verify headers: a damaged payload is left to the inner protocol; {saves}"]


def plan_port_add(world: World, wanted: Port, command: str = "gutctl port") -> tuple[Plan, Port]:
    """The plan, and the port as it will be.

    Raises ConflictError where it is there and differs, InUseError where a
    program's socket has it.
    """
    state = world.state(world.here)
    _check_rules(wanted, state)
    _check_keys(wanted, state)
    now = _get(world, state, wanted.key)
    name = port_name(wanted)
    kernel = world.door
    check_gue_port(wanted, kernel.info() if wanted.gue else None)
    notes = _check_verify(wanted, state)
    if now is None:
        no_overlap(state.ports, wanted.key)
        no_foreign_socket(kernel, wanted.key)
        plan = Plan(name, Verdict.ADDED, [open_port(kernel, wanted)])
        plan.diff.append(f"+ {name}  from {who(wanted)}")
        plan.notes += notes
        return plan, wanted
    if not _lists(world):
        return _unlisted(world, state, now, wanted, command)
    tunnels = _tunnels(world, state, now)
    by_tunnels = frozenset[Network]().union(*(tunnel.sources for tunnel in tunnels))
    own = replace(now, sources=now.sources - by_tunnels)
    if any(tunnel.any_source for tunnel in tunnels):
        own = replace(own, any_source=False)
    if now.origin is Origin.TUNNEL:
        return _claim(kernel, now, own, wanted, tunnels)
    # an administrator's prefix that a tunnel brought first is as good
    own = replace(own, sources=own.sources | (wanted.sources & now.sources))
    found = _differences(own, wanted)
    if found:
        raise conflict(name, found, f"{command} set {options(wanted.key)}", f"{command} del {options(wanted.key)}")
    return Plan(name, Verdict.UNCHANGED), now


def _unlisted(world: World, state: State, now: Port, wanted: Port, command: str) -> tuple[Plan, Port]:
    """As it is, or not: nothing of such a port can be changed. Tunnels that opened it forget that they did."""
    name = port_name(now)
    found = [replace(one, option=None) for one in _differences(now, wanted)]
    if found:
        raise conflict(name, found, "", f"{command} del {options(now.key)}, then port add again")
    plan = Plan(name, Verdict.UNCHANGED)
    for seen in world.sending(world.here):
        tunnel, link = seen.tunnel, seen.tunnel.link
        if not tunnel.opened or link is None or now not in [find_port(state.ports, tunnel)]:
            continue
        plan.verdict = Verdict.CHANGED
        plan.steps.append(_forget(world.kernel(seen.stands), tunnel.name, link.alias, tunnel))
        plan.diff = [f"~ {name}  stays when its tunnels go"]
    return plan, now


def _forget(kernel: Door, name: str, before: str, tunnel: Tunnel) -> Step:
    after = replace(tunnel, opened=False).alias.encode()
    return Step(
        f"note in the alias of {name} that the port stays",
        lambda: kernel.link_set(name, alias=after),
        lambda: kernel.link_set(name, alias=before),
        (f"ip link set {name} alias '{after}'",),
    )


def _claim(kernel: Door, now: Port, own: Port, wanted: Port, tunnels: list[Tunnel]) -> tuple[Plan, Port]:
    """A tunnel's port becomes the administrator's: it stays when the tunnels go."""
    if not wanted.any_source:
        own = replace(own, sources=wanted.sources)
    found = _differences(replace(own, any_source=wanted.any_source), wanted)
    if found:
        raise ConflictError(
            f"{port_name(now)} was opened for tunnels"
            f" ({', '.join(sorted(tunnel.name for tunnel in tunnels)) or 'gone'}) and differs: "
            + ", ".join(map(str, found)),
            f"gutctl port set {options(now.key)}, or delete the tunnels first",
        )
    after = replace(
        now,
        origin=Origin.ADMIN,
        any_source=now.any_source or wanted.any_source,
        sources=now.sources | wanted.sources,
    )
    plan = Plan(port_name(now), Verdict.CHANGED, [_set_step(kernel, now, after)])
    plan.diff = [f"~ {port_name(now)}  origin tunnel -> admin"]
    return plan, after


def _differences(now: Port, wanted: Port) -> list[Difference]:
    found = []

    def see(name: str, is_: str, want: str, option: str | None) -> None:
        if is_ != want:
            found.append(Difference(name, is_, want, option))

    accept = accept_word(wanted.accept, wanted.fou_protocol)
    same_class = (Accept.FOU in now.accept) == (Accept.FOU in wanted.accept)
    fixed = same_class and now.fou_protocol == wanted.fou_protocol
    see(
        "accept",
        accept_word(now.accept, now.fou_protocol),
        accept,
        f"--accept {accept}" if fixed else None,
    )
    inner = protocol_list(wanted.inner)
    see("inner", protocol_list(now.inner), inner, f"--inner {inner}")
    if now.any_source != wanted.any_source:
        see("from", who(now), who(wanted), "--any-source" if wanted.any_source else _from(wanted))
    elif not wanted.any_source and now.from_port != wanted.from_port:
        see("from", who(now), who(wanted), None)
    elif not wanted.any_source:
        see("from", prefix_list(now.sources), prefix_list(wanted.sources), _from(wanted))
    for name, is_, want in (
        ("zero-csum6", now.zero_csum6, wanted.zero_csum6),
        ("remcsum-nopartial", now.remcsum_nopartial, wanted.remcsum_nopartial),
    ):
        see(name, yes(is_), yes(want), f"--{name}" if want else f"--no-{name}")
    if now.keys != wanted.keys:
        see("keys", keys_word(now.keys), keys_word(wanted.keys), _key_options(now, wanted))
    require = "--require-auth" if wanted.require_auth else "--no-require-auth"
    see("require-auth", yes(now.require_auth), yes(wanted.require_auth), require)
    see("rules", receive_rules_word(now.rules), receive_rules_word(wanted.rules), _rule_options(now, wanted))
    see("gue", gue_word(now.gue), gue_word(wanted.gue), gue_options(now.gue, wanted.gue))
    answers = answer_list(wanted.answers)
    see("control", answer_list(now.answers), answers, f"--control {answers}")
    verify = verify_word(wanted)
    see("verify", verify_word(now), verify, f"--verify {verify}")
    return found


def _types(rules: frozenset[ReceiveRule]) -> set[int]:
    return {rule.type for rule in rules}


def _rule_options(now: Port, wanted: Port) -> str:
    """What to give to ``port set`` to have those rules."""
    gone = sorted(_types(now.rules) - _types(wanted.rules))
    words = [f"--no-rule 0x{number:02x}" for number in gone]
    return " ".join([*words, *(f"--rule {format_rule(rule)}" for rule in sorted(wanted.rules - now.rules, key=lambda one: one.type))])


def _ids(keys: frozenset[Key]) -> set[int]:
    return {key.id for key in keys}


def _key_options(now: Port, wanted: Port) -> str:
    """What to give to ``port set`` to have those keys."""
    words = [f"--no-key {number}" for number in sorted(_ids(now.keys) - _ids(wanted.keys))]
    return " ".join([*words, *(f"--key {format_key(key)}" for key in sorted(wanted.keys - now.keys, key=lambda one: one.id))])


def _check_keys(port: Port, state: State) -> None:
    """Raise UsageError for keys that no such port can have, UnsupportedError where the module has none."""
    if port.require_auth and not port.keys:
        raise UsageError(f"{port_name(port)}: without a key nothing could pass", "--key ID=@FILE, or --no-require-auth")
    if not port.keys:
        return
    if Accept.GUTLESS not in port.accept:
        raise UsageError(
            f"{port_name(port)} accepts {accept_word(port.accept, port.fou_protocol)}: only GUT-less has option auth",
            "--accept gutless beside others, or no keys",
        )
    if len(port.keys) > PORT_KEYS_MAX:
        raise UsageError(f"{port_name(port)}: {len(port.keys)} keys", f"a port has {PORT_KEYS_MAX} at most; --no-key ID takes one away")
    if state.info is not None and "auth" not in state.info.features:
        raise UnsupportedError("the loaded gutless module verifies no option auth", "load a newer one")


def _check_rules(port: Port, state: State) -> None:
    """Raise UsageError for rules that no such port can have, UnsupportedError where the module has none."""
    if not port.rules:
        return
    if Accept.GUTLESS not in port.accept:
        raise UsageError(
            f"{port_name(port)} accepts {accept_word(port.accept, port.fou_protocol)}: only GUT-less has options that rules could be for",
            "--accept gutless beside others, or no rules",
        )
    if state.info is not None and "option-rules" not in state.info.features:
        raise UnsupportedError("the loaded gutless module has no rules for options", "load a newer one")


def _from(port: Port) -> str:
    return " ".join(f"--from {prefix}" for prefix in sorted(map(str, port.sources)))


@dataclass(frozen=True, slots=True)
class PortChange:
    """What ``port set`` was asked."""

    key: PortKey
    settings: Mapping[str, Any] = field(default_factory=dict)
    """accept, fou_protocol, inner, any_source, zero_csum6, remcsum_nopartial, answers, verify_headers: fields of Port;
    gue: a dictionary of fields of GueFields."""
    add: frozenset[Network] = frozenset()
    remove: frozenset[Network] = frozenset()
    replace_all: frozenset[Network] | None = None
    rules: tuple[ReceiveRule, ...] = ()
    """Each in place of the one for its type."""
    remove_rules: frozenset[int] = frozenset()
    """Types."""
    keys: tuple[Key, ...] = ()
    """Each in place of the one of its id."""
    remove_keys: frozenset[int] = frozenset()
    """Ids."""


def plan_port_set(world: World, change: PortChange) -> tuple[Plan, Port]:
    """The plan, and the port as it will be. Prefixes and rules that are gone already stay gone."""
    state = world.state(world.here)
    if not _lists(world):
        raise UsageError(
            f"{port_name(change.key)}: the in-tree module {world.module} cannot change a port while it runs",
            f"gutctl port del {options(change.key)} --module {world.module}, then port add",
        )
    now = _get(world, state, change.key)
    if now is None:
        raise NotFoundError(f"there is no {port_name(change.key)}", "gutctl port list")
    after = replace(now, **with_gue(now.gue, change.settings))
    sources = now.sources if change.replace_all is None else change.replace_all
    rules = {rule.type: rule for rule in (*now.rules, *change.rules)}
    kept = frozenset(rule for number, rule in rules.items() if number not in change.remove_rules)
    after = replace(after, sources=(sources - change.remove) | change.add, rules=kept)
    keys = {key.id: key for key in (*now.keys, *change.keys)}
    # one that is there already keeps what the kernel knows of it
    held = frozenset(key for number, key in keys.items() if number not in change.remove_keys)
    after = replace(after, keys=held)
    _check_format(now, after)
    _check_rules(after, state)
    _check_keys(after, state)
    check_gue_port(after, world.door.info() if "gue" in change.settings else None)
    notes = _check_verify(after, state, now.verify_headers)
    if not after.any_source and not after.sources:
        raise ConflictError(
            f"nobody could send to {port_name(now)} any more",
            f"gutctl port del {options(now.key)}, or leave a prefix",
        )
    plan = Plan(port_name(now), Verdict.UNCHANGED)
    if after == now:
        return plan, now
    plan.verdict = Verdict.CHANGED
    plan.steps.append(_set_step(world.door, now, after))
    plan.diff = [f"~ {port_name(now)}  {found.name} {found.now} -> {found.asked}" for found in _differences(now, after)]
    plan.notes += notes
    lost = now.sources - after.sources
    for tunnel in _tunnels(world, state, now) if lost and not after.any_source else []:
        if tunnel.sources & lost:
            plan.notes.append(f"tunnel {tunnel.name} needed {prefix_list(tunnel.sources & lost)} on it")
    return plan, after


def _check_format(now: Port, after: Port) -> None:
    if (Accept.FOU in now.accept) != (Accept.FOU in after.accept) or (now.fou_protocol != after.fou_protocol):
        raise UsageError(
            f"{port_name(now)} accepts {accept_word(now.accept, now.fou_protocol)}: a port stays"
            " FOU of its protocol, or stays other",
            f"gutctl port del {options(now.key)}, then port add",
        )
    if after.fou_protocol is not None and after.fou_protocol not in after.inner:
        raise UsageError(f"--inner: a FOU port's protocol, {after.fou_protocol}, is its inner one")


def _set_step(kernel: Door, now: Port, after: Port) -> Step:
    def request(old: Port, new: Port) -> None:
        settings: dict[str, Any] = {
            name: getattr(new, name)
            for name in (
                *("accept", "inner", "any_source", "zero_csum6", "remcsum_nopartial", "require_auth", "answers"),
                *("verify_headers", "origin"),
            )
            if getattr(old, name) != getattr(new, name)
        }
        if old.gue != new.gue:
            settings["gue"] = put_back(new.gue, old.gue)
        kernel.port_set(
            now.key,
            add_sources=sorted(new.sources - old.sources, key=str),
            remove_sources=sorted(old.sources - new.sources, key=str),
            rules=sorted(new.rules - old.rules, key=lambda one: one.type),
            remove_rules=sorted(_types(old.rules) - _types(new.rules)),
            keys=sorted(new.keys - old.keys, key=lambda one: one.id),
            remove_keys=sorted(_ids(old.keys) - _ids(new.keys)),
            **settings,
        )

    return Step(
        f"change {port_name(now)}",
        lambda: request(now, after),
        lambda: request(after, now),
        (f"# change {port_name(now)}: no ip equivalent",),
    )


def plan_port_del(world: World, key: PortKey, *, must_exist: bool = False, force: bool = False) -> Plan:
    """The plan. Raises InUseError where tunnels receive on it, unless ``force``."""
    state = world.state(world.here)
    now = _get(world, state, key)
    name = port_name(key)
    if now is None:
        if must_exist:
            raise NotFoundError(f"there is no {name}", "gutctl port list")
        return Plan(name, Verdict.ABSENT)
    tunnels = _tunnels(world, state, now)
    if tunnels and not force:
        raise InUseError(
            f"{name} is what {', '.join(sorted(tunnel.name for tunnel in tunnels))} receives on",
            "delete the tunnel, or give --force",
        )
    kernel = world.door
    step = Step(
        f"close {name}",
        lambda: kernel.port_del(now.key),
        lambda: kernel.port_add(replace(now, gue=recall(now.gue))),
        port_command(now, "del"),
    )
    return Plan(name, Verdict.DELETED, [step], [f"- {name}"])
