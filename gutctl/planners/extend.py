# SPDX-License-Identifier: Apache-2.0
"""``ext attach``, ``detach``, ``set`` and ``rule``: a tunnel's options one by one, and by which packets take other ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gutctl._wire.optiontype import Option
from gutctl.errors import ConflictError, NotFoundError, UnsupportedError, UsageError
from gutctl.ext_api import format_option
from gutctl.model import Format, Origin, Profile, Rule
from gutctl.plan import Plan, Verdict
from gutctl.planners.tunnel_del import find_tunnel
from gutctl.planners.tunnel_set import SetRequest, plan_set
from gutctl.planners.words import rule_word
from gutctl.tunnel import Tunnel
from gutctl.world import Seen, World

__all__ = ["RuleRequest", "plan_attach", "plan_change", "plan_detach", "plan_rule_add", "plan_rule_del"]


def _tunnel(world: World, name: str) -> Tunnel:
    return _seen(world, name).tunnel


def _seen(world: World, name: str) -> Seen:
    seen = find_tunnel(world, name)
    if seen is None:
        raise NotFoundError(f"there is no tunnel {name}", "gutctl tunnel add")
    if not seen.tunnel.backend.profiles:
        raise UnsupportedError(f"{name} is of the module {seen.tunnel.module}, which knows no options", "--module gutless")
    return seen


def plan_attach(world: World, name: str, options: Iterable[Option]) -> tuple[Plan, Tunnel]:
    """Options beside those there are; one that is there already stays. Raises ConflictError for another value of its type."""
    now = _tunnel(world, name)
    wanted = list(now.options)
    for option in options:
        if option in wanted:
            continue
        other = next((one for one in wanted if one.type == option.type), None)
        if other is not None:
            raise ConflictError(
                f"{name} sends {format_option(other)} already (asked: {format_option(option)})",
                f"gutctl ext set {name} {format_option(option)}",
            )
        wanted.append(option)
    return _options(world, now, wanted)


def plan_detach(world: World, name: str, types: Iterable[int], *, must_exist: bool = False) -> tuple[Plan, Tunnel]:
    """No option of these types any more. Raises NotFoundError with ``must_exist`` where there is none."""
    now = _tunnel(world, name)
    wanted = list(now.options)
    for number in types:
        left = [option for option in wanted if option.type != number]
        if must_exist and left == wanted:
            raise NotFoundError(f"{name} sends no option 0x{number:02x}", f"gutctl tunnel show {name}")
        wanted = left
    return _options(world, now, wanted)


def plan_change(world: World, name: str, options: Iterable[Option]) -> tuple[Plan, Tunnel]:
    """Other values for options that are sent, each in its place. Raises NotFoundError for one that is not."""
    now = _tunnel(world, name)
    wanted = list(now.options)
    for option in options:
        places = [at for at, one in enumerate(wanted) if one.type == option.type]
        if not places:
            raise NotFoundError(
                f"{name} sends no option {option.name}", f"gutctl ext attach {name} {format_option(option)}"
            )
        if len(places) > 1:
            raise ConflictError(
                f"{name} sends {len(places)} options {option.name}: which one?", f"gutctl tunnel set {name} --option ..., all of them"
            )
        wanted[places[0]] = option
    return _options(world, now, wanted)


def _options(world: World, now: Tunnel, wanted: Iterable[Option]) -> tuple[Plan, Tunnel]:
    options = tuple(wanted)
    if options == now.options:
        return _unchanged(now), now
    return plan_set(world, SetRequest(now.name, {"options": options}))


def _unchanged(now: Tunnel) -> Plan:
    return Plan(f"tunnel {now.name}", Verdict.UNCHANGED)


@dataclass(frozen=True, slots=True)
class RuleRequest:
    """What ``ext rule add`` was asked."""

    name: str
    rule: Rule
    first: bool = False
    """In front of the others, of which the first that fits counts."""


def plan_rule_add(world: World, request: RuleRequest) -> tuple[Plan, Tunnel]:
    """Packets of the tunnel with this mark take another profile.

    Raises ConflictError where the mark has another profile already, or the profile is a tunnel's own;
    NotFoundError where there is none; UsageError where the link cannot send its format.
    """
    seen, rule = _seen(world, request.name), request.rule
    now = seen.tunnel
    if rule.mark & ~rule.mask:
        raise UsageError(f"--mark 0x{rule.mark:x}/0x{rule.mask:x}: no packet fits, the mark has bits that the mask leaves out")
    same = next((one for one in now.rules if (one.mark, one.mask) == (rule.mark, rule.mask)), None)
    if same == rule:
        return _unchanged(now), now
    if same is not None:
        words = _mark(rule)
        raise ConflictError(
            f"{now.name} has a rule for it: {rule_word(same)} (asked: profile {rule.profile})",
            f"gutctl ext rule del {now.name} --mark {words}, then add",
        )
    _check_profile(world, seen, rule)
    rules = (rule, *now.rules) if request.first else (*now.rules, rule)
    return _rules(world, now, rules)


def plan_rule_del(world: World, name: str, mark: int, mask: int, *, must_exist: bool = False) -> tuple[Plan, Tunnel]:
    """No rule for that mark any more."""
    now = _tunnel(world, name)
    rules = tuple(one for one in now.rules if (one.mark, one.mask) != (mark, mask))
    if rules == now.rules:
        if must_exist:
            raise NotFoundError(f"{name} has no rule for mark 0x{mark:x}", f"gutctl ext rule list {name}")
        return _unchanged(now), now
    return _rules(world, now, rules)


def _mark(rule: Rule) -> str:
    return f"0x{rule.mark:x}" if rule.mask == 0xFFFFFFFF else f"0x{rule.mark:x}/0x{rule.mask:x}"


def _check_profile(world: World, seen: Seen, rule: Rule) -> None:
    now = seen.tunnel
    state = world.using(now.module).state(seen.sends)
    profile = state.numbered.get(rule.profile)
    if profile is None:
        raise NotFoundError(f"there is no profile {rule.profile}", "gutctl profile list")
    if profile.origin is Origin.TUNNEL:
        raise ConflictError(
            f"profile {rule.profile} is a tunnel's own, and goes with it",
            f"gutctl profile add {rule.profile} with the same content makes it yours",
        )
    if not _sendable(now, profile):
        raise UsageError(f"{now.name} sends {now.format}, and its link cannot send profile {rule.profile}: {profile.format}")


def _sendable(now: Tunnel, profile: Profile) -> bool:
    if Format.FOU in (now.format, profile.format):
        return now.format is profile.format
    # a link of bare packets gets a header when options need one, unless it is one of GUE or FOU
    return not (now.format is Format.GUTLESS and not now.header and profile.format is Format.GUE)


def _rules(world: World, now: Tunnel, rules: tuple[Rule, ...]) -> tuple[Plan, Tunnel]:
    room = max((rule.profile >> 8 for rule in rules), default=0)
    return plan_set(world, SetRequest(now.name, {"rules": rules, "room": room}))
