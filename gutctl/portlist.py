# SPDX-License-Identifier: Apache-2.0
"""The ports of a namespace, looked up without a walk over all of them.

A command that looks at every tunnel asks for the port of each: with a walk for each
it would take the product of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from ipaddress import ip_network
from typing import Self

from gutctl.model import Address, Network, Port

__all__ = ["Ports"]


class Ports(tuple[Port, ...]):
    """Ports in an order; as a tuple never changes, neither does what is looked up."""

    @classmethod
    def of(cls, ports: Iterable[Port]) -> Self:
        """``ports`` itself where it is such a tuple already, with what it has looked up."""
        return ports if isinstance(ports, cls) else cls(ports)

    @cached_property
    def _first(self) -> dict[tuple[int, int, Address | None], Port]:
        found: dict[tuple[int, int, Address | None], Port] = {}
        for port in self:
            found.setdefault((port.key.family, port.key.port, port.key.local), port)
        return found

    @cached_property
    def _numbers(self) -> frozenset[tuple[int, int]]:
        return frozenset((family, number) for family, number, _ in self._first)

    @cached_property
    def _connected(self) -> dict[tuple[int, int, Network], Port]:
        return {(port.key.family, port.key.port, peer): port for port in self if port.from_port for peer in port.sources}

    def receiver(self, family: int, number: int, local: Address | None, remote: Address) -> Port | None:
        """The port that takes a tunnel's packets: on any address, else the first on its local one.

        One that is connected to the tunnel's peer has a local address though none was asked for.
        """
        found = self._first.get((family, number, None)) or self._first.get((family, number, local))
        if found is None and local is None:
            found = self._connected.get((family, number, ip_network(remote)))
        return found

    def has(self, family: int, number: int) -> bool:
        """Whether a port has that number, on whatever address."""
        return (family, number) in self._numbers
