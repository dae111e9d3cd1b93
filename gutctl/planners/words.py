# SPDX-License-Identifier: Apache-2.0
"""How settings are said in text, hints and differences."""

from __future__ import annotations

from collections.abc import Iterable

from gutctl._wire.auth import Key, KeyedOption
from gutctl._wire.optiontype import Option
from gutctl.ext_api import format_option, format_rule
from gutctl.keyfile import format_key
from gutctl.model import DEFAULT_SOURCE_PORTS, Accept, Address, Network, Port, PortKey, Profile, ReceiveRule, Rule
from gutctl.planners.gue import gue_word

__all__ = [
    "accept_word",
    "answer_list",
    "endpoint",
    "key_word",
    "keys_word",
    "number_or_inherit",
    "on_off",
    "options_word",
    "options_words",
    "ordered",
    "port_name",
    "prefix_list",
    "profile_words",
    "protocol_list",
    "range_word",
    "receive_rules_word",
    "rule_word",
    "rules_word",
    "short",
    "verify_word",
    "yes",
]


def ordered(networks: Iterable[Network]) -> list[Network]:
    """In the order of their addresses."""
    return sorted(networks, key=lambda n: (n.version, int(n.network_address), n.prefixlen))


def short(network: Network) -> str:
    """A prefix; a single host without its length."""
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def prefix_list(networks: Iterable[Network], none: str = "nobody") -> str:
    """Prefixes with commas."""
    return ", ".join(map(short, ordered(networks))) or none


def accept_word(accept: frozenset[Accept], fou_protocol: int | None) -> str:
    """As ``--accept`` takes it."""
    if Accept.FOU in accept:
        return f"fou:{fou_protocol}"
    return ",".join(form for form in Accept if form in accept)


def answer_list(answers: Iterable[str]) -> str:
    """As ``--control`` takes it."""
    return ",".join(sorted(answers)) or "none"


def protocol_list(protocols: frozenset[int]) -> str:
    """As ``--inner`` takes it."""
    return ",".join(map(str, sorted(protocols)))


def range_word(ports: tuple[int, int]) -> str:
    """As ``--sport`` takes it."""
    low, high = ports
    if ports == DEFAULT_SOURCE_PORTS:
        return "auto"
    return str(low) if low == high else f"{low}-{high}"


def options_word(options: Iterable[Option]) -> str:
    """As ``--option`` takes each, with spaces between."""
    return " ".join(map(_option_word, options)) or "none"


def _option_word(option: Option) -> str:
    mark = f"({option.key.fingerprint})" if isinstance(option, KeyedOption) else ""
    return format_option(option) + mark


def options_words(now: Iterable[Option], wanted: Iterable[Option]) -> tuple[str, str]:
    """Two lists, in words that differ where they do: a key is the same whatever its file is called."""
    now, wanted = tuple(now), tuple(wanted)
    word = options_word(wanted)
    return (word if now == wanted else options_word(now)), word


def key_word(key: Key) -> str:
    """``7=@/etc/gutctl/west.key (0123456789abcdef)``: never the secret."""
    return f"{format_key(key)} ({key.fingerprint})"


def keys_word(keys: Iterable[Key]) -> str:
    """By their ids."""
    return ", ".join(key_word(key) for key in sorted(keys, key=lambda one: one.id)) or "none"


def receive_rules_word(rules: Iterable[ReceiveRule]) -> str:
    """As ``--rule`` takes each, with spaces between."""
    return " ".join(format_rule(rule) for rule in sorted(rules, key=lambda one: one.type)) or "none"


def rule_word(rule: Rule) -> str:
    """``mark 7 -> profile 513``, the mask where not all bits count."""
    mask = "" if rule.mask == 0xFFFFFFFF else f"/0x{rule.mask:x}"
    return f"mark 0x{rule.mark:x}{mask} -> profile {rule.profile}"


def rules_word(rules: Iterable[Rule]) -> str:
    """All of them, in the order in which they are tried."""
    return ", ".join(map(rule_word, rules)) or "none"


def profile_words(profile: Profile) -> str:
    """What a profile says, what is usual left out."""
    words = [f"format {profile.format}", f"csum {profile.csum}", f"sport {range_word(profile.source_ports)}"]
    if profile.options:
        words.append(f"options {options_word(profile.options)}")
    if profile.gue:
        words.append(f"gue {gue_word(profile.gue)}")
    if profile.room > profile.words:
        words.append(f"room for {4 * profile.room} octets")
    return ", ".join([*words, *map(rule_word, profile.rules)])


def verify_word(port: Port) -> str:
    """As ``--verify`` takes it."""
    return "headers" if port.verify_headers else "all"


def number_or_inherit(value: int, inherit: int) -> str:
    """A TTL or TOS."""
    return "inherit" if value == inherit else str(value)


def yes(value: bool) -> str:
    """A setting that is on or off."""
    return "yes" if value else "no"


def endpoint(address: Address | str | None, port: int | str | None) -> str:
    """``203.0.113.5:6080``, ``[2001:db8::1]:6080``; ``*`` for what is not fixed."""
    host = "*" if address is None else str(address)
    if ":" in host:
        host = f"[{host}]"
    return f"{host}:{'*' if port is None else port}"


def port_name(key: PortKey | Port) -> str:
    """``port 6080/udp``, with the family where it is 6, and what it is bound to."""
    key = key.key if isinstance(key, Port) else key
    name = f"port {key.port}/udp" + ("6" if key.family == 6 else "")
    if key.local is not None:
        name += f" on {key.local}"
    if key.ifindex:
        name += f" device {key.ifindex}"
    return name


def on_off(value: bool) -> str:
    """As options with two states take it."""
    return "on" if value else "off"
