# SPDX-License-Identifier: Apache-2.0
"""``profile add``, ``profile set`` and ``profile del``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gutctl.checks import remote_checksum as check_csum
from gutctl.cookies import recall
from gutctl.errors import ConflictError, InUseError, NotFoundError, UsageError
from gutctl.model import Info, Origin, Profile
from gutctl.plan import Difference, Plan, Step, Verdict, conflict
from gutctl.planners.gue import check_gue, gue_options, gue_word, put_back, with_gue
from gutctl.planners.options import check_options, option_words_for
from gutctl.planners.segments import segmented, take
from gutctl.planners.sharing import content
from gutctl.planners.words import options_words, profile_words, range_word, rules_word
from gutctl.tunnel import Tunnel
from gutctl.world import World

__all__ = ["check_profile", "plan_profile_add", "plan_profile_del", "plan_profile_set"]


def check_profile(profile: Profile, info: Info | None = None) -> None:
    """Raise UsageError for what no profile can be, UnsupportedError for what this module cannot."""
    check_csum(profile.format, profile.csum, info)
    check_gue(profile, info)
    check_options(profile, info)
    words = max(profile.words, profile.room)
    if profile.number and profile.number >> 8 < words:
        first = words << 8 | 1
        raise UsageError(
            f"profile {profile.number}: with {_long(profile)} profiles are numbered {first} to {first | 255}, or higher",
            "the number tells links how long the header is; leave it out for any free one",
        )
    if profile.number and not profile.number & 0xFF:
        raise UsageError(f"profile {profile.number}: the lower 8 bits of a number cannot be 0")


def _long(profile: Profile) -> str:
    if not profile.options and not profile.room and not profile.gue:
        return f"csum {profile.csum}"
    if profile.gue:
        return f"{4 * max(profile.words, profile.room)} octets of fields"
    return f"{4 * max(profile.words, profile.room)} octets of options"


def plan_profile_add(world: World, wanted: Profile, command: str = "gutctl profile") -> tuple[Plan, list[Profile]]:
    """The plan, and a list that holds the profile with its number once that is known.

    Number 0: one of this content that an administrator made is as good as a new
    one. Raises ConflictError where the number is there and differs.
    """
    check_profile(wanted)
    state = world.state(world.here)
    check_profile(wanted, state.info)
    profiles = state.profiles
    if wanted.number:
        now = next((p for p in profiles if p.number == wanted.number), None)
    else:
        mine = [p for p in profiles if p.origin is Origin.ADMIN]
        now = next((p for p in mine if content(p) == content(wanted)), None)
    kernel = world.door
    if now is not None:
        found = _differences(now, wanted)
        if found:
            name = f"profile {now.number}"
            raise conflict(name, found, f"{command} set {now.number}", f"{command} del {now.number}")
        if now.origin is Origin.TUNNEL:
            return _claim(world, now)
        return Plan(f"profile {now.number}", Verdict.UNCHANGED), [now]
    name = f"profile {wanted.number}" if wanted.number else "profile"
    result = [wanted]

    def do() -> None:
        result[0] = kernel.profile_add(wanted)

    step = Step(
        f"add {name}: {profile_words(wanted)}",
        do,
        lambda: kernel.profile_del(result[0].number),
        (f"# add {name}: no ip equivalent",),
    )
    return Plan(name, Verdict.ADDED, [step], [f"+ {name}  {profile_words(wanted)}"]), result


def _claim(world: World, now: Profile) -> tuple[Plan, list[Profile]]:
    """A tunnel's profile becomes the administrator's: it stays when the tunnel goes."""
    plan, after = _set(world, now, {"origin": Origin.ADMIN})
    plan.diff = [f"~ profile {now.number}  origin tunnel -> admin"]
    return plan, [after]


def _differences(now: Profile, wanted: Profile) -> list[Difference]:
    found = []
    sport = range_word(wanted.source_ports)
    for name, is_, want, option in (
        ("format", now.format, wanted.format, f"--format {wanted.format}"),
        ("csum", now.csum, wanted.csum, f"--csum {wanted.csum}"),
        ("sport", range_word(now.source_ports), sport, f"--sport {sport}"),
        ("options", *options_words(now.options, wanted.options), option_words_for(wanted.options)),
        ("rules", rules_word(now.rules), rules_word(wanted.rules), None),
        ("gue", gue_word(now.gue), gue_word(wanted.gue), gue_options(now.gue, wanted.gue)),
    ):
        if is_ != want:
            found.append(Difference(name, str(is_), str(want), option))
    return found


def _set(world: World, now: Profile, changes: Mapping[str, Any]) -> tuple[Plan, Profile]:
    kernel = world.door
    after = replace(now, **changes)
    name = f"profile {now.number}"
    plan = Plan(name, Verdict.UNCHANGED)
    different = {key: value for key, value in changes.items() if getattr(now, key) != value}
    if not different:
        return plan, now
    back: dict[str, Any] = {key: getattr(now, key) for key in different}

    def undo() -> None:
        if "gue" in back:
            back["gue"] = put_back(now.gue, after.gue)
        kernel.profile_set(now.number, **back)

    plan.verdict = Verdict.CHANGED
    plan.steps.append(
        Step(
            f"change {name}",
            lambda: kernel.profile_set(now.number, **different),
            undo,
            (f"# change {name}: no ip equivalent",),
        )
    )
    plan.diff = [f"~ {name}  {d.name} {d.now} -> {d.asked}" for d in _differences(now, after)]
    return plan, after


def plan_profile_set(world: World, number: int, changes: Mapping[str, Any]) -> tuple[Plan, Profile]:
    """The plan, and the profile as it will be. Raises NotFoundError, ConflictError."""
    now = next((p for p in world.state(world.here).profiles if p.number == number), None)
    if now is None:
        raise NotFoundError(f"there is no profile {number}", "gutctl profile list")
    info = world.door.info() if {"csum", "options", "rules", "gue"} & set(changes) else None
    changes = with_gue(now.gue, changes)
    after = replace(now, **changes)
    check_csum(after.format, after.csum, info)
    check_gue(after, info)
    check_options(after, info)
    if after.words > number >> 8:
        raise ConflictError(
            f"profile {number} is one with room for {4 * (number >> 8)} octets of options; this takes {4 * after.words}",
            "links count on the number: gutctl profile add another one, and set the links to it",
        )
    plan, after = _set(world, now, changes)
    if after.by_packet != now.by_packet:
        limits = _limits(world, after)
        # single packets before headers that differ, and large ones only after them
        plan.steps = [*limits, *plan.steps] if after.by_packet else [*plan.steps, *limits]
    if plan.pending:
        names = _users(world, number)
        if names and "format" in changes:
            plan.notes.append(f"{', '.join(names)} sends with it: what it can send has changed")
    return plan, after


def _users(world: World, number: int) -> list[str]:
    return sorted(seen.tunnel.name for seen in world.sending(world.here) if uses(seen.tunnel, number))


def uses(tunnel: Tunnel, number: int) -> bool:
    """Whether it sends with a profile, all its packets or those that a rule says."""
    return number == tunnel.profile or any(rule.profile == number for rule in tunnel.rules)


def _limits(world: World, after: Profile) -> list[Step]:
    """What packets the links take that send with a profile, once that is as it will be."""
    profiles = {**world.state(world.here).numbered, after.number: after}
    steps = []
    for seen in world.sending(world.here):
        tunnel = seen.tunnel
        if tunnel.profile == after.number:
            tunnel = replace(tunnel, options=after.options, csum=after.csum, format=after.format, rules=after.rules)
        elif not uses(tunnel, after.number):
            continue
        steps += take(world.kernel(seen.stands), seen.stands, tunnel, segmented(tunnel, profiles))
    return steps


def plan_profile_del(world: World, number: int, *, must_exist: bool = False, force: bool = False) -> Plan:
    """The plan. Raises InUseError where a tunnel sends with it, unless ``force``."""
    now = next((p for p in world.state(world.here).profiles if p.number == number), None)
    name = f"profile {number}"
    if now is None:
        if must_exist:
            raise NotFoundError(f"there is no {name}", "gutctl profile list")
        return Plan(name, Verdict.ABSENT)
    names = _users(world, number)
    if names and not force:
        raise InUseError(
            f"{name} is what {', '.join(names)} sends with; without it nothing is sent",
            "delete the tunnel, or give --force",
        )
    kernel = world.door
    step = Step(
        f"delete {name}",
        lambda: kernel.profile_del(number),
        lambda: _put_back(world, now),
        (f"# delete {name}: no ip equivalent",),
    )
    return Plan(name, Verdict.DELETED, [step], [f"- {name}"])


def _put_back(world: World, profile: Profile) -> None:
    world.door.profile_add(replace(profile, gue=recall(profile.gue)))
