# SPDX-License-Identifier: Apache-2.0
"""A port with many sources comes in several messages of a dump."""

from __future__ import annotations

import random
from ipaddress import IPv4Network, ip_address

import netlink_strategies as some
from hypothesis import given
from hypothesis import strategies as st

from gutctl._nl import answers, records
from gutctl._nl.tlv import Attrs
from gutctl.model import Port, PortKey


def messages(port: Port, size: int) -> list[Attrs]:
    """As the module sends it: all but the sources in the first, the key alone in the next ones."""
    head = [a for a in records.port_request(port) if a[0] != "source"]
    head.append(("stats", [("packets", port.stats.packets), ("octets", port.stats.octets)]))
    sources = [a for a in records.port_request(port) if a[0] == "source"]
    parts = [sources[n : n + size] for n in range(0, len(sources), size)] or [[]]
    return [(head if n == 0 else records.port_key(port.key)) + part for n, part in enumerate(parts)]


def order(port: Port) -> tuple[int, int, int, int]:
    key = port.key
    return key.family, key.port, -1 if key.local is None else int(key.local), key.ifindex


@given(st.lists(some.ports(), max_size=5, unique_by=lambda p: p.key), st.integers(1, 4), st.randoms())
def test_continued_ports_become_whole(ports: list[Port], size: int, rng: random.Random) -> None:
    # ports come in any order, each one's messages behind one another
    rng.shuffle(ports)
    dump = [message for port in ports for message in messages(port, size)]
    whole = answers.coalesce(dump)
    assert whole == sorted(ports, key=order)
    assert [p.stats.packets for p in whole] == [p.stats.packets for p in sorted(ports, key=order)]


def test_a_thousand_sources() -> None:
    sources = frozenset(IPv4Network((n << 8, 24)) for n in range(1000))
    port = Port(PortKey(4, 6080), sources=sources)
    dump = messages(port, 300)
    assert len(dump) == 4
    assert answers.coalesce(dump) == [port]


def test_any_address_comes_first() -> None:
    keys = [PortKey(6, 1), PortKey(4, 2), PortKey(4, 1, ip_address("10.0.0.1")), PortKey(4, 1)]
    dump = [records.port_key(key) for key in keys]
    assert [port.key for port in answers.coalesce(dump)] == [keys[3], keys[2], keys[1], keys[0]]
