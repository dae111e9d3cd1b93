# SPDX-License-Identifier: Apache-2.0
"""Two questions to a network device by SIOCETHTOOL (linux/ethtool.h)."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

__all__ = ["hashes_udp_ports", "rx_rings"]

SIOCETHTOOL = 0x8946
ETHTOOL_GRXFH = 0x29
ETHTOOL_GRXRINGS = 0x2D
FLOW_TYPES = {4: 0x02, 6: 0x06}
"""UDP_V4_FLOW, UDP_V6_FLOW."""
L4_BITS = 1 << 6 | 1 << 7
"""RXH_L4_B_0_1, RXH_L4_B_2_3: source port, destination port."""
RXNFC_OCTETS = 256
"""More than struct ethtool_rxnfc has."""


def _rxnfc(device: str, command: int, flow_type: int = 0) -> int | None:
    """The ``data`` of the answer; None where the device does not say."""
    buffer = ctypes.create_string_buffer(RXNFC_OCTETS)
    struct.pack_into("=II", buffer, 0, command, flow_type)
    request = struct.pack("16sP8x", device.encode(), ctypes.addressof(buffer))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, SIOCETHTOOL, request)
        except OSError:
            return None
    (data,) = struct.unpack_from("=Q", buffer, 8)
    return int(data)


def rx_rings(device: str) -> int:
    """Receive queues of a device; 0 where it does not say."""
    return _rxnfc(device, ETHTOOL_GRXRINGS) or 0


def hashes_udp_ports(device: str, family: int) -> bool | None:
    """Whether UDP ports choose the receive queue; None where the device does not say."""
    data = _rxnfc(device, ETHTOOL_GRXFH, FLOW_TYPES[family])
    return None if data is None else data & L4_BITS == L4_BITS
