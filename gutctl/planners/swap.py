# SPDX-License-Identifier: Apache-2.0
"""A tunnel's profile changed in its place, while the link goes on sending.

Profiles are replaced as a whole, and a packet sees the old one or the new one. So where
only a profile has to change, and adds as many octets as before, no packet is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gutctl.door import Door
from gutctl.model import Info, Origin, Profile
from gutctl.plan import Step
from gutctl.planners.gue import gue_word, put_back
from gutctl.planners.sharing import ProfileShare
from gutctl.planners.words import options_word, range_word, rules_word
from gutctl.tunnel import Tunnel, to_link

__all__ = ["swap_profile"]


def swap_profile(
    kernel: Door,
    profiles: Mapping[int, Profile],
    now: Tunnel,
    asked: Tunnel,
    others: Iterable[Tunnel],
    info: Info | None,
) -> ProfileShare | None:
    """The steps that make ``now``'s own profile do for ``asked``; None where that cannot be.

    It cannot where the profile is an administrator's or another tunnel's as well, where the
    header's length or the encapsulation type changes, or where the link itself has a source
    port, which wins over the profile's. ``others``: all other tunnels that send from there.
    """
    profile = profiles.get(now.profile)
    before = now.link
    if profile is None or before is None or profile.origin is not Origin.TUNNEL:
        return None
    if any(other.profile == profile.number for other in others):
        return None
    after = replace(profile, format=asked.format, csum=asked.csum, options=asked.options, rules=asked.rules, gue=asked.gue)
    if not before.encap_sport:
        after = replace(after, source_ports=asked.source_ports)
    elif asked.fixed_source_port != before.encap_sport:
        return None
    if asked.words != now.words or to_link(asked, info).encap_type != before.encap_type:
        return None
    share = ProfileShare(profile.number)
    _change(kernel, profile, after, share)
    return share


def _change(kernel: Door, before: Profile, after: Profile, share: ProfileShare) -> None:
    there: dict[str, Any] = {}
    back: dict[str, Any] = {}
    words = []
    for name, say in (
        *(("format", str), ("csum", str), ("source_ports", range_word)),
        *(("options", options_word), ("rules", rules_word), ("gue", gue_word)),
    ):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            there[name], back[name] = new, old
            words.append(f"{'sport' if name == 'source_ports' else name} {say(old)} -> {say(new)}")
    if not there:
        return
    number = before.number

    def undo() -> None:
        if "gue" in back:
            back["gue"] = put_back(before.gue, after.gue)
        kernel.profile_set(number, **back)

    share.steps.append(
        Step(
            f"change profile {number}: {', '.join(words)}",
            lambda: kernel.profile_set(number, **there),
            undo,
            (f"# change profile {number} ({', '.join(words)}): no ip equivalent",),
        )
    )
    share.diff.append(f"~ profile {number}  {', '.join(words)}")
