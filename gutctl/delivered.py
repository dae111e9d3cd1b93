# SPDX-License-Identifier: Apache-2.0
"""Options that ports deliver, as records: octets, and numbers by which a loss is seen."""

from __future__ import annotations

from dataclasses import dataclass

from gutctl.model import Address, PortKey

__all__ = ["DeliveredOption", "LostOptions"]


@dataclass(frozen=True, slots=True)
class DeliveredOption:
    """An option of a packet that passed a port."""

    sequence: int
    """One more for each that the namespace's ports tried to deliver."""
    port: PortKey
    port_id: int
    """A port that is made anew has another."""
    type: int
    data: bytes
    source: Address
    """Of the outer packet."""
    source_port: int
    time_ns: int
    """CLOCK_REALTIME when it was received, nanoseconds since 1970."""
    packets: int
    """That it stands for: more than one where packets were merged."""


@dataclass(frozen=True, slots=True)
class LostOptions:
    """So many options were not delivered, of whichever port and type: they came faster than they were read."""

    count: int
