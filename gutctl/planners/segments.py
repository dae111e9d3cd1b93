# SPDX-License-Identifier: Apache-2.0
"""Whether a link takes large packets, to be segmented behind the tunnel header, or single ones only.

Where each packet's header is another one (Check, a time, a tag), segments cannot share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from gutctl import ipwords
from gutctl.door import Door, Netns
from gutctl.model import ANY_SEGMENTS, ONE_BY_ONE, Profile
from gutctl.plan import Step
from gutctl.tunnel import Tunnel

__all__ = ["segmented", "take"]


def segmented(tunnel: Tunnel, profiles: Mapping[int, Profile]) -> bool:
    """Whether some packet of it gets a header that no other has, by the tunnel's own settings or a rule's profile."""
    chosen = (profiles.get(rule.profile) for rule in tunnel.rules)
    return tunnel.by_packet or any(profile is not None and profile.by_packet for profile in chosen)


def take(kernel: Door, netns: Netns, tunnel: Tunnel, single: bool) -> list[Step]:
    """Have a running link take single packets only, or large ones again; nothing where it does."""
    link = tunnel.link
    if link is None or link.single == single:
        return []
    limit = ONE_BY_ONE if single else ANY_SEGMENTS
    return [
        Step(
            f"let {link.name} take {'single packets only' if single else 'packets yet to be segmented'}",
            partial(kernel.link_set, link.name, gso_segments=limit),
            partial(kernel.link_set, link.name, gso_segments=link.gso_segments),
            ipwords.segmentation(netns, link.name, limit),
        )
    ]
