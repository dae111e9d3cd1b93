# SPDX-License-Identifier: Apache-2.0
"""A command that fails at any of its requests leaves a real kernel as it was.

  a                        b
+------------------+     +------------------+
| west, east       |     |                  |
| eth0 198.51.100.1|-----|eth0 198.51.100.2 |
|      2001:db8::1 |     |     2001:db8::2  |
+------------------+     +------------------+
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from net import Host, Net

from gutctl.errors import GutctlError
from gutctl.netlink import Kernel

pytestmark = pytest.mark.usefixtures("gutless")

CHANGING = (
    *("port_add", "port_set", "port_del", "profile_add", "profile_set", "profile_del"),
    *("link_add", "link_set", "link_change", "link_del", "address_add", "address_del"),
)


class Failing(Kernel):
    """Refuses one of the changing requests, before the kernel sees it."""

    countdown: int | None = None

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        return _counted(method) if name in CHANGING else method


def _counted(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **given: Any) -> Any:
        if Failing.countdown is not None:
            if Failing.countdown == 0:
                Failing.countdown = None
                raise GutctlError("injected")
            Failing.countdown -= 1
        return method(*args, **given)

    return call


def run(host: Host, line: str, fail_at: int | None = None) -> tuple[int, bool]:
    """Exit status, and whether the failure came to pass."""
    from gutctl.cli import main
    from gutctl.cli.context import Session
    from gutctl.world import World

    Failing.countdown = fail_at
    session = Session(lambda netns: World(netns, Failing))
    status = main(["-n", host.name, *line.split()], obj=session, standalone_mode=False)
    happened = fail_at is not None and Failing.countdown is None
    Failing.countdown = None
    return int(status), happened


def state(*hosts: Host) -> list[object]:
    """Ports, profiles and links of some namespaces, without counters and interface numbers."""
    from dataclasses import replace

    from gutctl.model import Stats

    found: list[object] = []
    for host in hosts:
        with Kernel(host.name) as kernel:
            found.append([replace(port, stats=Stats()) for port in kernel.ports()])
            found.append([replace(profile, stats=Stats()) for profile in kernel.profiles()])
            for link in kernel.links():
                found.append(
                    replace(
                        link, ifindex=0, rx_packets=0, rx_octets=0, tx_packets=0, tx_octets=0, tx_dropped=0,
                        addresses=tuple(sorted(link.addresses)),
                    )
                )  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("family", "peer", "other"), [(4, "198.51.100.2", "198.51.100.3"), (6, "2001:db8::2", "2001:db8::3")]
)
@pytest.mark.parametrize("moved", [False, True])
def test_undone_at_every_step(net: Net, family: int, peer: str, other: str, moved: bool) -> None:
    a, b, c = net.host("a"), net.host("b"), net.host("c")
    net.link(a, b, ["198.51.100.1/24", "2001:db8::1/64"], ["198.51.100.2/24", "2001:db8::2/64"])
    assert run(a, f"tunnel add east --remote {other} --from {peer} --sport 50000-50001") == (0, False)
    words = "--address 10.9.0.1/30 --address fd09::1/64 --sport 50002-50003"
    stands = c if moved else a
    lines = [
        (a, f"tunnel add west --remote {peer} {words}" + (f" --move-to {c.name}" if moved else "")),
        (stands, "tunnel set west --format gue --csum zero --ttl 9 --port 7000 --address fd09::9/64"),
        (stands, "tunnel del west"),
    ]
    for host, line in lines:
        before = state(a, c)
        step = 0
        while True:
            status, happened = run(host, line, step)
            if not happened:
                break
            assert status == 1, (line, step)
            assert state(a, c) == before, (line, step)
            step += 1
        assert status == 0 and step >= 3, (line, step, status)
        assert state(a, c) != before
