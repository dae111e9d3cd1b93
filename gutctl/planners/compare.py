# SPDX-License-Identifier: Apache-2.0
"""Wanted and running tunnel side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gutctl.checks import host_network
from gutctl.door import Door
from gutctl.model import Port
from gutctl.plan import Difference
from gutctl.planners.gue import gue_options, gue_word
from gutctl.planners.options import option_words_for
from gutctl.planners.receiving import acquire
from gutctl.planners.sharing import find_port
from gutctl.planners.words import number_or_inherit, options_words, prefix_list, range_word, yes
from gutctl.tunnel import Tunnel, kind_of

__all__ = ["Comparison", "compare"]


@dataclass(slots=True)
class Comparison:
    """What differs, and what is only worth saying."""

    differences: list[Difference]
    notes: list[str]


def compare(
    now: Tunnel,
    asked: Tunnel,
    kernel: Door,
    ports: Iterable[Port],
    others: Callable[[], list[Tunnel]],
    *,
    sources_given: bool,
    addresses_given: bool,
) -> Comparison:
    """Every setting asked for, given or by default, that is not so.

    ``others``: the other tunnels that send from there, asked for only where needed,
    as finding them takes a look into every namespace. Addresses count only when some are given: they are often somebody else's
    matter. An MTU that followed the route once is no difference when the route
    says another today, but worth a note.
    """
    kind = kind_of(asked)
    same_kind = kind == now.kind and asked.protocol == now.protocol
    found = []

    def see(name: str, is_: str, want: str, option: str | None) -> None:
        if is_ != want:
            found.append(Difference(name, is_, want, option))

    see("mode", now.mode, asked.mode, None)
    if (now.mode, now.family, now.inner) == (asked.mode, asked.family, asked.inner):
        see("link kind", now.kind, kind, None)
    see("key", _key(now), _key(asked), None)
    see("format", now.format, asked.format, f"--format {asked.format}" if same_kind else None)
    see("inner", now.inner, asked.inner, None)
    same_family = now.family == asked.family
    see(
        "remote",
        str(now.remote),
        str(asked.remote),
        f"--remote {asked.remote}" if same_family else None,
    )
    if same_family or asked.local is not None:
        see(
            "local",
            str(now.local or "any"),
            str(asked.local or "any"),
            f"--local {asked.local or 'any'}" if same_family else None,
        )
    see("port", _port(now), _port(asked), "--no-port" if asked.port is None else f"--port {asked.port}")
    see("peer port", str(now.peer_port), str(asked.peer_port), f"--peer-port {asked.peer_port}")
    sport = range_word(asked.source_ports)
    range_now = f"of the missing profile {now.profile}" if now.profile_missing else range_word(now.source_ports)
    see("sport", range_now, sport, f"--sport {sport}")
    see("csum", now.csum, asked.csum, f"--csum {asked.csum}")
    see("options", *options_words(now.options, asked.options), option_words_for(asked.options))
    see("gue", gue_word(now.gue), gue_word(asked.gue), gue_options(now.gue, asked.gue))
    ttl = number_or_inherit(asked.ttl, 0)
    see("ttl", number_or_inherit(now.ttl, 0), ttl, f"--ttl {ttl}")
    tos = number_or_inherit(asked.tos, 1)
    see("tos", number_or_inherit(now.tos, 1), tos, f"--tos {tos}")
    if now.family == asked.family == 4:
        see("pmtudisc", yes(now.pmtudisc), yes(asked.pmtudisc), "--pmtudisc" if asked.pmtudisc else "--no-pmtudisc")
    notes = _mtu(now, asked, found)
    if addresses_given and set(now.addresses) != set(asked.addresses):
        see(
            "address",
            _list(now.addresses),
            _list(asked.addresses),
            " ".join(f"--address {cidr}" for cidr in asked.addresses),
        )
    if now.up != asked.up:
        see("state", "up" if now.up else "down", "up" if asked.up else "down", "--up")
    if asked.port is not None and now.port != asked.port:
        found += _other_port(now, asked, sources_given)
    elif asked.port is not None and same_family:
        found += _sharing(now, asked, kernel, list(ports), others, sources_given)
    return Comparison(found, notes)


def _key(tunnel: Tunnel) -> str:
    return "none" if tunnel.key is None else str(tunnel.key)


def _port(tunnel: Tunnel) -> str:
    return "none" if tunnel.port is None else str(tunnel.port)


def _list(addresses: Iterable[str]) -> str:
    return " ".join(sorted(addresses)) or "none"


def _mtu(now: Tunnel, asked: Tunnel, found: list[Difference]) -> list[str]:
    if asked.mtu is None or now.mtu == asked.mtu:
        return []
    if asked.mtu_fixed:
        found.append(Difference("mtu", str(now.mtu), str(asked.mtu), f"--mtu {asked.mtu}"))
    elif now.mtu_fixed:
        found.append(Difference("mtu", str(now.mtu), f"auto, now {asked.mtu}", "--mtu auto"))
    elif (now.remote, now.overhead) == (asked.remote, asked.overhead):
        text = f"{now.name} has mtu {now.mtu}, the route to {now.remote} would now give {asked.mtu}"
        return [f"{text}: gutctl tunnel set {now.name} --mtu auto"]
    return []


def _other_port(now: Tunnel, asked: Tunnel, sources_given: bool) -> list[Difference]:
    """Who may send, where the port itself differs: a change of the port alone keeps that."""
    if now.any_source == asked.any_source:
        own = frozenset({host_network(now.remote)})
        kept = now.sources <= own and not sources_given
        if now.any_source or kept or now.sources == asked.sources:
            return []
    return [Difference("from", _who(now), _who(asked), _option(asked))]


def _option(tunnel: Tunnel) -> str:
    if tunnel.any_source:
        return "--any-source"
    return " ".join(f"--from {prefix}" for prefix in sorted(map(str, tunnel.sources)))


def _sharing(
    now: Tunnel,
    asked: Tunnel,
    kernel: Door,
    ports: list[Port],
    others: Callable[[], list[Tunnel]],
    sources_given: bool,
) -> list[Difference]:
    """Whether the port is there and lets in, for this tunnel's sake, whom it should."""
    wish = replace(
        now,
        sources=asked.sources,
        any_source=asked.any_source,
        csum=asked.csum,
        options=asked.options,
        room=asked.room,
        gue=now.gue,
        format=asked.format if asked.inner is now.inner else now.format,
    )
    if asked.remote != now.remote and not sources_given and not asked.any_source:
        wish = replace(wish, sources=frozenset({host_network(now.remote)}))
    port = find_port(ports, now)
    if port is None:
        return [Difference("receiving port", "missing", f"open for {_who(wish)}", f"--port {now.port}")]
    if port.gue != now.gue:
        wanted = gue_options(port.gue, asked.gue)
        return [Difference("required of GUE's fields", gue_word(port.gue), gue_word(asked.gue), wanted)]
    if not now.backend.source_lists:
        if now.any_source == asked.any_source:
            return []
        return [Difference("from", _who(now), _who(asked), _option(asked))]
    same = (wish.sources, wish.any_source) == (now.sources, now.any_source)
    open_to = port.any_source == now.any_source and now.sources <= port.sources
    known = [] if same and open_to else others()
    share = acquire(kernel, ports, wish, [*known, now])
    answers = share.tunnel
    if (answers.sources, answers.any_source) != (now.sources, now.any_source) or share.steps:
        if (
            now.csum != asked.csum
            and answers.sources == now.sources
            and not any("allow" in step.text for step in share.steps)
        ):
            return []
        return [Difference("from", _who(now), _who(asked), _option(asked))]
    return []


def _who(tunnel: Tunnel) -> str:
    return "any source" if tunnel.any_source else prefix_list(tunnel.sources)
