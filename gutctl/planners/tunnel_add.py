# SPDX-License-Identifier: Apache-2.0
"""``tunnel add``: profile, receiving port, link, in this order; all of it or nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gutctl import ipwords
from gutctl.checks import host_network, pair, remote_checksum
from gutctl.door import Door, Netns
from gutctl.errors import ConflictError, NotFoundError, UsageError
from gutctl.kinds import KINDS
from gutctl.model import NO_FIELDS, Csum, Format, Info, Module, Profile
from gutctl.plan import Difference, Plan, Step, Verdict, conflict
from gutctl.planners.compare import compare
from gutctl.planners.gue import check_gue, gue_options, gue_word
from gutctl.planners.options import check_options
from gutctl.planners.receiving import acquire
from gutctl.planners.route import by_route, check_mtu, one_per_pair
from gutctl.planners.sharing import ProfileShare, find_port, profile_for
from gutctl.planners.words import endpoint, options_word, range_word, rule_word
from gutctl.tunnel import Inner, Tunnel, kind_of, to_link
from gutctl.world import Seen, State, World

__all__ = ["AddRequest", "check_tunnel", "inside", "notes_on", "plan_add", "summary"]


@dataclass(frozen=True, slots=True)
class AddRequest:
    """What ``tunnel add`` was asked."""

    tunnel: Tunnel
    """Defaults for what was not given; ``mtu`` None: from the route."""
    sources_given: bool = False
    addresses_given: bool = False
    move_to: Netns = None
    """Where the device shall stand; None: where it is made."""
    set_command: str = "gutctl tunnel set"
    """For hints: with the namespace, if one was given."""


def check_tunnel(tunnel: Tunnel, info: Info | None = None) -> None:
    """Raise UsageError for what makes no sense, whatever the state of the system.

    ``info``: the loaded module; UnsupportedError for what it cannot.
    """
    _check_inside(tunnel)
    tunnel.backend.check(tunnel)
    if info is not None:
        tunnel.backend.require(tunnel, info)
    remote_checksum(tunnel.format, tunnel.csum, info)
    if tunnel.backend.profiles:
        check_options(Profile(0, tunnel.format, tunnel.csum, options=tunnel.options, rules=tunnel.rules), info)
        check_gue(Profile(0, tunnel.format, tunnel.csum, gue=tunnel.gue), info)
    elif tunnel.gue:
        raise UsageError(f"{gue_options(NO_FIELDS, tunnel.gue)}: the module {tunnel.module} has none", "leave --module out")
    elif tunnel.options:
        raise UsageError(f"--option: the module {tunnel.module} sends none", "leave --module out")
    pair(tunnel.local, tunnel.remote)
    _check_df(tunnel)
    for prefix in tunnel.sources:
        if prefix.version != tunnel.family:
            raise UsageError(f"--from {prefix}: the outer packets are IPv{tunnel.family}, as --remote is")
    if tunnel.port is None and tunnel.any_source:
        raise UsageError("--no-port and --any-source: without a port nobody can send to it")
    check_mtu(tunnel)


def _check_inside(tunnel: Tunnel) -> None:
    kind = kind_of(tunnel)
    gre = KINDS[kind].gre
    if gre and tunnel.inner is not Inner.ANY:
        raise UsageError(f"--inner {tunnel.inner}: in mode {tunnel.mode} GRE says what is inside", "leave --inner out")
    if not gre and tunnel.format is Format.FOU and tunnel.inner is Inner.ANY:
        raise UsageError(
            "FOU does not say what is inside: its port takes one protocol",
            "--inner ipv4 or --inner ipv6; format gutless carries both",
        )
    if tunnel.key is not None and not gre:
        raise UsageError(f"--key: a link of mode {tunnel.mode} has no GRE header to put it into", "--mode gre or --mode eth")
    if tunnel.key == 0 and tunnel.family == 6:
        raise UsageError("--key 0: over IPv6 the kernel takes key 0 for none", "another number, or no --key")


def _check_df(tunnel: Tunnel) -> None:
    if tunnel.pmtudisc:
        return
    if tunnel.family == 6:
        raise UsageError("--no-pmtudisc: IPv6 has no DF; routers never fragment", "leave it out")
    kind = kind_of(tunnel)
    if not KINDS[kind].gre and tunnel.ttl:
        raise UsageError(
            f"--no-pmtudisc: on a {kind} link with a TTL of its own the kernel sets DF all the same",
            "--ttl inherit, or --mode gre",
        )


def notes_on(tunnel: Tunnel, kernel: Door) -> list[str]:
    """What the user should know, though it is done as asked."""
    notes = []
    if tunnel.any_source:
        notes.append(
            f"port {tunnel.port} lets everybody inject packets into {tunnel.name} (the class of CVE-2024-7596)"
        )
    if tunnel.csum is Csum.ZERO and tunnel.family == 6:
        notes.append(
            "IPv6 without a UDP checksum: the conditions of RFC 6936 are yours to meet,"
            " and the peer's port must accept it (--zero-csum6)"
        )
    if tunnel.csum is Csum.NEUTRAL:
        notes.append(
            "csum neutral: large packets are segmented before they are sent, and receivers do not merge them;"
            " it pays where routers change options, and where the peer decapsulates without offloads"
        )
    notes += tunnel.backend.notes(tunnel)
    mine = kernel.local_addresses()
    if tunnel.remote in mine:
        notes.append(f"{tunnel.remote} is an address of this host itself")
    if tunnel.local is not None and tunnel.local not in mine:
        notes.append(f"{tunnel.local} is not an address of this host now")
    if tunnel.mtu is not None and tunnel.mtu < 1280 and tunnel.inner is not Inner.IPV4:
        notes.append(f"mtu {tunnel.mtu} is below 1280, so {tunnel.name} cannot carry IPv6")
    return notes


def summary(tunnel: Tunnel, source: str | None = None) -> str:
    """One line: ends, format, checksum, MTU, state."""
    near = endpoint(tunnel.local or source, tunnel.port)
    words = [
        f"{tunnel.name}: {near} -> {endpoint(tunnel.remote, tunnel.peer_port)}",
        *inside(tunnel.mode, tunnel.link_kind, tunnel.key),
        f"format {tunnel.format}" + ("" if tunnel.inner is Inner.ANY else f" {tunnel.inner}"),
        f"csum {tunnel.csum}",
    ]
    if not tunnel.by_flow:
        words.append(f"sport {range_word(tunnel.source_ports)}")
    if tunnel.options:
        words.append(f"options {options_word(tunnel.options)}")
    if tunnel.gue:
        words.append(f"gue {gue_word(tunnel.gue)}")
    words += map(rule_word, tunnel.rules)
    if tunnel.module is not Module.GUTLESS:
        words.append(f"module {tunnel.module}")
    words += [f"mtu {tunnel.mtu}", "up" if tunnel.up else "down"]
    return ", ".join(words)


def inside(mode: str, link_kind: str, key: int | None) -> list[str]:
    """What is not usual about what is inside, in words."""
    words = [f"mode {mode}"] if mode != "ip" else []
    words += [f"kind {link_kind}"] if link_kind else []
    return words + ([f"key {key}"] if key is not None else [])


def plan_add(world: World, request: AddRequest) -> tuple[Plan, Tunnel]:
    """The plan, and the tunnel as it will be.

    Raises ConflictError where the name is taken by something else or by a tunnel
    that differs, UsageError, NotFoundError (no route), InUseError (port).
    """
    asked = request.tunnel
    world = world.using(asked.module)
    if asked.port is not None and not asked.any_source and not asked.sources:
        asked = replace(asked, sources=frozenset({host_network(asked.remote)}))
    if asked.port is None:
        asked = replace(asked, sources=frozenset())
    asked = replace(asked, segmented=asked.by_packet)
    check_tunnel(asked)
    stands = world.here
    if request.move_to is not None and not world.same(request.move_to, world.here):
        stands = request.move_to
    state = world.state(world.here)
    check_tunnel(asked, state.info)
    there = _occupant(world.using(None), asked.name, stands)
    if there is not None and there.tunnel.module is not asked.module:
        module = Difference("module", there.tunnel.module, asked.module, None)
        name = asked.name
        raise conflict(name, [module], "", f"gutctl tunnel del {name}, then tunnel add again, or choose another name")
    if there is not None:
        return _compare(world, request, asked, there, state)
    return _create(world, request, asked, stands, state)


def _occupant(world: World, name: str, stands: Netns) -> Seen | None:
    """The tunnel of this name that is there; ConflictError for anything else of it."""
    places = [world.here] if stands == world.here else [world.here, stands]
    for netns in places:
        link = world.kernel(netns).link(name)
        if link is None:
            continue
        where = "" if netns == world.here else f" in namespace {netns}"
        seen = world.standing(netns, name)
        if not seen:
            raise ConflictError(
                f"the name {name} is taken{where} by a device of kind {link.kind or 'unknown'}",
                "choose another name",
            )
        if netns != stands:
            raise ConflictError(
                f"{name} exists and differs: it stands in this namespace (asked: {stands})",
                f"gutctl tunnel del {name}, then tunnel add again",
            )
        if not seen[0].reachable or not world.same(seen[0].sends, world.here):
            raise ConflictError(f"{name} exists{where} and sends from another namespace", "choose another name")
        return seen[0]
    return None


def _others(world: World, tunnel: Tunnel, but: Netns) -> list[Tunnel]:
    """All other tunnels that send from here, wherever they stand."""
    return [
        seen.tunnel
        for seen in world.sending(world.here)
        if not (seen.tunnel.name == tunnel.name and world.same(seen.stands, but))
    ]


def _shares(state: State, tunnel: Tunnel) -> bool:
    """Whether something it needs is there, so that it matters who brought it."""
    port = find_port(state.ports, tunnel)
    return port is not None and (port.any_source or port.gue != tunnel.gue or bool(port.sources & tunnel.sources))


def _compare(world: World, request: AddRequest, asked: Tunnel, there: Seen, state: State) -> tuple[Plan, Tunnel]:
    now = there.tunnel
    notes: list[str] = []
    if asked.family == now.family:
        try:
            asked = by_route(world.door, asked)
        except NotFoundError as error:
            notes.append(error.message)
            asked = replace(asked, local=asked.local or now.local)
    outcome = compare(
        now,
        asked,
        world.door,
        state.ports,
        lambda: _others(world, now, there.stands),
        sources_given=request.sources_given,
        addresses_given=request.addresses_given,
    )
    if outcome.differences:
        raise conflict(
            asked.name,
            outcome.differences,
            f"{request.set_command} {asked.name}",
            f"gutctl tunnel del {asked.name}, then tunnel add again: a running link cannot become this",
        )
    return Plan(f"tunnel {now.name}", Verdict.UNCHANGED, notes=notes + outcome.notes), now


def _create(world: World, request: AddRequest, asked: Tunnel, stands: Netns, state: State) -> tuple[Plan, Tunnel]:
    kernel = world.door
    tunnel = by_route(kernel, asked)
    check_tunnel(tunnel)
    one_per_pair(kernel, tunnel)
    profile = profile_for(kernel, state.profiles, tunnel)
    others = _others(world, tunnel, stands) if _shares(state, tunnel) else []
    share = acquire(kernel, state.ports, tunnel, others)
    tunnel = share.tunnel
    to_link(tunnel)
    plan = Plan(f"tunnel {tunnel.name}", Verdict.ADDED, notes=notes_on(asked, kernel))
    plan.steps = [*profile.steps, *share.steps]
    plan.steps += _link_steps(world, tunnel, profile, stands, state)
    plan.diff = [*profile.diff, *share.diff, f"+ tunnel {summary(tunnel)}"]
    return plan, tunnel


def _link_steps(world: World, tunnel: Tunnel, profile: ProfileShare, stands: Netns, state: State) -> list[Step]:
    """Add the link, move it, give it addresses, bring it up. One undo for all."""
    name = tunnel.name
    kernel = world.door
    place = kernel

    def add() -> None:
        kernel.link_add(to_link(replace(tunnel, profile=profile.number), state.info))

    def delete() -> None:
        place.link_del(name)

    def move() -> None:
        nonlocal place
        kernel.link_set(name, netns=world.spec(stands))
        place = world.kernel(stands)

    link = to_link(replace(tunnel, profile=profile.number), state.info)
    steps = [Step(f"add link {name}", add, delete, ipwords.link_add(world.here, tunnel, link))]
    if stands != world.here:
        text = f"move {name} to namespace {stands}"
        command = ipwords.ip(world.here, "link", "set", name, "netns", stands)
        steps.append(Step(text, move, None, (command,)))
    for cidr in tunnel.addresses:

        def give(cidr: str = cidr) -> None:
            place.address_add(name, cidr)

        command = ipwords.ip(stands, "address", "add", cidr, "dev", name)
        steps.append(Step(f"give {name} the address {cidr}", give, None, (command,)))
    if tunnel.up:
        command = ipwords.ip(stands, "link", "set", name, "up")
        steps.append(Step(f"bring {name} up", lambda: place.link_set(name, up=True), None, (command,)))
    return steps
