# SPDX-License-Identifier: Apache-2.0
"""A tunnel's part in a receiving port, whatever module has the port."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gutctl.door import Door
from gutctl.model import Port
from gutctl.planners import sharing, unlisted
from gutctl.planners.sharing import Share, find_port
from gutctl.tunnel import Tunnel

__all__ = ["acquire", "exchange", "release"]


def acquire(kernel: Door, ports: Iterable[Port], tunnel: Tunnel, others: Iterable[Tunnel]) -> Share:
    """Let the peer of ``tunnel`` in; see :func:`gutctl.planners.sharing.acquire`."""
    if tunnel.backend.source_lists:
        return sharing.acquire(kernel, ports, tunnel, others)
    return unlisted.acquire(kernel, ports, tunnel, others)


def release(kernel: Door, ports: Iterable[Port], tunnel: Tunnel, others: Iterable[Tunnel]) -> Share:
    """Take from its port what only ``tunnel`` needs; see :func:`gutctl.planners.sharing.release`."""
    if tunnel.backend.source_lists:
        return sharing.release(kernel, ports, tunnel, others)
    return unlisted.release(kernel, ports, tunnel, others)


def exchange(
    kernel: Door, ports: Iterable[Port], now: Tunnel, asked: Tunnel, others: Iterable[Tunnel]
) -> tuple[Share, Share]:
    """From the port that a tunnel has to the one it shall have: what it acquires, and what it releases.

    A port that can be changed takes the new peer before it drops the old one; steps of the
    first share come before the link is changed, those of the second after. One that cannot is
    closed and opened anew, all in the first share.
    """
    ports, others = list(ports), list(others)
    if asked.backend.source_lists:
        acquired = acquire(kernel, ports, asked, [*others, now])
        rest = [port for port in ports if acquired.port is None or port.key != acquired.port.key]
        rest += [acquired.port] if acquired.port is not None else []
        return acquired, release(kernel, rest, now, [*others, acquired.tunnel])
    released = release(kernel, ports, now, others)
    if not released.steps:
        return acquire(kernel, ports, asked, others), released
    old = find_port(ports, now)
    wanted = asked.port and unlisted.new_port(asked, asked.port, asked.backend)
    if old is not None and wanted and wanted == replace(old, key=replace(old.key, local=wanted.key.local)):
        return Share(replace(asked, sources=old.sources, opened=True), port=old), Share(now)
    acquired = acquire(kernel, [port for port in ports if port is not old], asked, others)
    acquired.steps[:0] = released.steps
    acquired.diff[:0] = released.diff
    return acquired, Share(now)
