# SPDX-License-Identifier: Apache-2.0
"""A change of a port that is refused has changed none of its settings, whichever of them came before the refusal.

    one host, no wire
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Network
from typing import Any

import pytest
from net import Net

from gutctl.errors import NotFoundError
from gutctl.model import Accept, Origin, Port, PortKey
from gutctl.netlink import Kernel

KEY = PortKey(6, 6080)
SETTINGS: list[dict[str, Any]] = [
    {"zero_csum6": True},
    {"origin": Origin.TUNNEL},
    {"any_source": True},
    {"inner": frozenset({41})},
    {"accept": frozenset({Accept.BARE})},
    {"add_sources": [IPv6Network("2001:db8:2::/48")]},
]


@pytest.fixture
def kernel(gutless: None, net: Net) -> Iterator[Kernel]:
    with Kernel(net.host().name) as made:
        yield made


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings)))
def test_each_setting_beside_a_refused_one(kernel: Kernel, settings: dict[str, Any]) -> None:
    port = Port(KEY, sources=frozenset({IPv6Network("2001:db8::/48")}))
    kernel.port_add(port)
    with pytest.raises(NotFoundError):
        kernel.port_set(KEY, remove_sources=[IPv6Network("2001:db8:ffff::/48")], **settings)
    assert kernel.port(KEY) == port
    # and it is the other one that was refused: alone it is taken, and seen
    kernel.port_set(KEY, **settings)
    assert kernel.port(KEY) != port
