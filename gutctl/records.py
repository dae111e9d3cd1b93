# SPDX-License-Identifier: Apache-2.0
"""Records: one dictionary behind JSON and text of each noun.

Keys are only ever added; a change of meaning raises :data:`SCHEMA`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from gutctl._wire.auth import key_of
from gutctl._wire.optiontype import OptionType
from gutctl.backend import backend
from gutctl.errors import GutctlError
from gutctl.ext_api import Delivered, Lost, Option, format_option, format_rule, type_of
from gutctl.model import ALL_INNER, GueFields, Info, Key, OnPath, Port, Profile, ReceiveRule, Rule, Stats
from gutctl.planners.sharing import find_port
from gutctl.planners.words import ordered
from gutctl.tunnel import Tunnel, kind_of
from gutctl.world import Seen, State, World

__all__ = [
    "SCHEMA",
    "delivered_record",
    "gue_record",
    "info_record",
    "key_record",
    "onpath_record",
    "option_type_record",
    "port_record",
    "profile_record",
    "receive_rule_record",
    "rule_record",
    "seen_record",
    "stats_record",
    "tunnel_record",
]

SCHEMA = 1
"""Version of the JSON output, its top-level key ``schema``."""

Record = dict[str, Any]


def stats_record(stats: Stats) -> Record:
    """Counters since it was made; octets are those of the inner packets."""
    return {
        "packets": stats.packets,
        "octets": stats.octets,
        "offloaded": stats.offloaded,
        "icmp_errors": stats.icmp_errors,
        "drops": dict(stats.drops),
        "control": {name.replace("-", "_"): count for name, count in stats.control.items()},
    }


def port_record(port: Port, device: str | None = None) -> Record:
    """A receiving port; ``inner`` None: not restricted, ``stats`` and ``origin`` None: its module keeps none."""
    does = backend(port.module)
    return {
        "family": port.key.family,
        "port": port.key.port,
        "local": None if port.key.local is None else str(port.key.local),
        "device": device,
        "accept": [form.value for form in type(next(iter(port.accept))) if form in port.accept],
        "fou_protocol": port.fou_protocol,
        "inner": None if port.inner == ALL_INNER else sorted(port.inner),
        "any_source": port.any_source,
        "sources": [str(network) for network in ordered(port.sources)],
        "zero_csum6": port.zero_csum6,
        "remcsum_nopartial": port.remcsum_nopartial,
        "rules": [receive_rule_record(rule) for rule in sorted(port.rules, key=lambda one: one.type)],
        "keys": [key_record(key) for key in sorted(port.keys, key=lambda one: one.id)],
        "require_auth": port.require_auth,
        "gue": gue_record(port.gue),
        "answers": sorted(port.answers) if does.counters and port.fou_protocol is None else [],
        "verify_headers": port.verify_headers,
        "module": port.module.value,
        "from_port": port.from_port or None,
        "origin": port.origin.value if does.counters else None,
        "stats": stats_record(port.stats) if does.counters else None,
    }


def key_record(key: Key) -> Record:
    """A key of option auth; ``file`` None: not told, ``fingerprint``: 8 octets of the secret's SHA-256, in hex."""
    return {"id": key.id, "file": key.name or None, "fingerprint": key.fingerprint, "direction": key.direction}


def _keyed(options: Iterable[Option]) -> Record | None:
    key = key_of(options)
    return key_record(key) if key else None


def receive_rule_record(rule: ReceiveRule) -> Record:
    """What a port does about a type of option; ``rule`` as ``--rule`` takes it, ``value`` in hex, None: any."""
    known = type_of(rule.type)
    return {
        "type": rule.type,
        "name": known.name if known else None,
        "action": rule.action.value,
        "deliver": rule.deliver,
        "value": None if rule.value is None else rule.value.hex(),
        "rule": format_rule(rule),
        "stats": {"matched": rule.stats.matched, "dropped": rule.stats.dropped, "delivered": rule.stats.delivered},
    }


def delivered_record(one: Delivered | Lost) -> Record:
    """An option that came in, its fields by name where its type is declared; or how many were ``lost``."""
    if isinstance(one, Lost):
        return {"lost": one.count}
    octets = isinstance(one.value, bytes)
    data = one.value if isinstance(one.value, bytes) else one.value.encode()
    fields = {} if isinstance(one.value, bytes) else {name: _plain(value) for name, value in one.value.values().items()}
    known = type_of(one.type)
    return {
        "time": one.time.isoformat(),
        "time_ns": one.time_ns,
        "tunnel": one.tunnel,
        "family": one.port.family,
        "port": one.port.port,
        "local": None if one.port.local is None else str(one.port.local),
        "peer": str(one.peer),
        "peer_port": one.peer_port,
        "packets": one.packets,
        "type": one.type,
        "name": known.name if known else None,
        "data": data.hex(),
        "value": None if octets else fields,
        "option": format_option(Option(one.type, data)),
    }


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, int | str) else str(value)


def onpath_record(one: OnPath, device: str | None) -> Record:
    """A device on the path; ``device`` None: its name is not known (it may be gone)."""
    return {
        "device": device,
        "ifindex": one.ifindex,
        "min_path_mtu": one.min_path_mtu,
        "ports": list(one.ports),
        "stats": {"seen": one.stats.seen, "lowered": one.stats.lowered, "left": dict(one.stats.left)},
    }


def option_type_record(known: OptionType) -> Record:
    """A type of option; ``octets`` None: of any size, ``open``: that many or more, ``added_by`` None: built in."""
    layout = known.layout
    return {
        "number": known.number,
        "name": known.name,
        "about": known.about,
        "unknown": known.action.name.lower(),
        "mutable": known.mutable,
        "singleton": known.singleton,
        "octets": layout.octets if layout else None,
        "open": layout.open if layout else True,
        "fields": [_option_field(known, name, kind.word()) for name, kind in (layout.fields.items() if layout else ())],
        "added_by": None if known.origin.startswith("gutctl.") else known.origin,
    }


def _option_field(known: OptionType, name: str, size: str) -> Record:
    assert known.value
    filled, default = name in known.filled, known.value.left_out().get(name)
    plain = default.hex() if isinstance(default, bytes) else default
    return {"name": name, "size": size, "filled": filled, "default": None if filled else plain}


def profile_record(profile: Profile) -> Record:
    """A sending profile."""
    return {
        "number": profile.number,
        "format": profile.format.value,
        "csum": profile.csum.value,
        "source_ports": list(profile.source_ports),
        "options": [format_option(option) for option in profile.options],
        "key": _keyed(profile.options),
        "room": 4 * max(profile.room, profile.words),
        "rules": [rule_record(rule) for rule in profile.rules],
        "gue": gue_record(profile.gue),
        "origin": profile.origin.value,
        "stats": stats_record(profile.stats),
    }


def gue_record(fields: GueFields) -> Record | None:
    """Fields of GUE 0, None for none; of a cookie what it is known by, never its octets."""
    if not fields:
        return None
    cookie = fields.cookie
    known = cookie and {"octets": cookie.length, "fingerprint": cookie.fingerprint.hex(), "file": cookie.name or None}
    return {"group": fields.group, "csum": fields.csum, "cookie": known}


def rule_record(rule: Rule) -> Record:
    """Which packets take another profile."""
    return {"mark": rule.mark, "mask": rule.mask, "profile": rule.profile}


def info_record(info: Info) -> Record:
    """The loaded module."""
    return {
        "version": info.version,
        "features": sorted(info.features),
        "limits": {
            "ports": info.max_ports,
            "sources": info.max_sources,
            "profiles": info.max_profiles,
            "nesting": info.max_nesting,
            "control_rate": info.control_rate,
            "control_source_rate": info.control_source_rate,
        },
        "ports": info.ports,
        "profiles": info.profiles,
        "unprivileged": info.unprivileged,
    }


def tunnel_record(tunnel: Tunnel, source: str | None = None) -> Record:
    """A tunnel, wanted or running."""
    link = tunnel.link
    return {
        "name": tunnel.name,
        "mode": tunnel.mode,
        "key": tunnel.key,
        "format": tunnel.format.value,
        "inner": tunnel.inner.value,
        "local": None if tunnel.local is None else str(tunnel.local),
        "source": str(tunnel.local) if tunnel.local is not None else source,
        "remote": str(tunnel.remote),
        "port": tunnel.port,
        "peer_port": tunnel.peer_port,
        # by flow, the in-tree module takes them from net.ipv4.ip_local_port_range
        "source_ports": None if tunnel.by_flow and not tunnel.backend.profiles else list(tunnel.source_ports),
        "csum": tunnel.csum.value,
        "options": [format_option(option) for option in tunnel.options],
        "signs": _keyed(tunnel.options),
        "rules": [rule_record(rule) for rule in tunnel.rules],
        "gue": gue_record(tunnel.gue),
        "segmented": tunnel.segmented,
        "mtu": tunnel.mtu,
        "mtu_fixed": tunnel.mtu_fixed,
        "ttl": tunnel.ttl or "inherit",
        "tos": "inherit" if tunnel.tos == 1 else tunnel.tos,
        "pmtudisc": tunnel.pmtudisc if tunnel.family == 4 else None,
        "addresses": list(tunnel.addresses),
        "up": tunnel.up,
        "sources": [str(network) for network in ordered(tunnel.sources)],
        "any_source": tunnel.any_source,
        "module": tunnel.module.value,
        "profile": tunnel.profile or None,
        "kind": tunnel.kind or kind_of(tunnel),
        "link_kind": tunnel.link_kind or None,
        "stats": None
        if link is None
        else {
            "rx_packets": link.rx_packets,
            "rx_octets": link.rx_octets,
            "tx_packets": link.tx_packets,
            "tx_octets": link.tx_octets,
            "tx_dropped": link.tx_dropped,
        },
    }


def seen_record(world: World, seen: Seen, state: State) -> Record:
    """A running tunnel with its port's drops, where it stands, and what is amiss."""
    tunnel = seen.tunnel
    source = None
    if tunnel.local is None and seen.reachable:
        with suppress(GutctlError):
            source = str(world.kernel(seen.sends).route_mtu(tunnel.remote)[2])
    record = tunnel_record(tunnel, source)
    port = None
    if tunnel.port is not None:
        port = find_port(state.ports, tunnel)
    record["moved"] = seen.moved
    record["port_drops"] = None
    if tunnel.backend.counters:
        record["port_drops"] = {} if port is None else dict(port.stats.drops)
    record["notes"] = list(_notes(seen, state, port))
    return record


def _notes(seen: Seen, state: State, port: Port | None) -> Iterable[str]:
    tunnel = seen.tunnel
    if not seen.reachable:
        yield "sends from a namespace that cannot be reached from here"
        return
    if state.info is None:
        yield f"the {tunnel.module} module is not loaded: nothing passes"
        return
    if tunnel.port is not None and port is None:
        guess = " (a guess: the link has no alias of ours)" if tunnel.inferred else ""
        yield f"its receiving port {tunnel.port}/udp is not open{guess}"
    if tunnel.family == 4 and tunnel.local is None and tunnel.needs_local:
        yield f"without a local address the module {tunnel.module} sends wrong UDP checksums over IPv4"
    if tunnel.profile_missing:
        yield f"its profile {tunnel.profile} is missing: nothing is sent"
