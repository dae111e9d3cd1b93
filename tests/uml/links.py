# SPDX-License-Identifier: Apache-2.0
"""Tunnel links made and taken away by rtnetlink octets alone: thousands a minute, which a library would not do here."""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import ip_address

RTM_NEWLINK, RTM_DELLINK = 16, 17
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
NLMSG_ERROR = 2
IFF_UP = 1
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA = 3, 18, 1, 2
IPTUN_LOCAL, IPTUN_REMOTE, IPTUN_TTL = 2, 3, 4
IPTUN_PROTO, IPTUN_ENCAP_TYPE, IPTUN_ENCAP_FLAGS, IPTUN_ENCAP_SPORT, IPTUN_ENCAP_DPORT = 9, 15, 16, 17, 18


def _attr(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


class Links:
    """A routing socket of the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.socket.bind((0, 0))
        self.socket.settimeout(30)
        self._sequence = 0

    def close(self) -> None:
        self.socket.close()

    def _do(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        head = struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, self._sequence, 0)
        self.socket.send(head + body)
        answer = self.socket.recv(1 << 16)
        (error,) = struct.unpack_from("=i", answer, 16)
        assert struct.unpack_from("=H", answer, 4)[0] == NLMSG_ERROR
        if error:
            raise OSError(-error, os.strerror(-error))

    def add(self, name: str, kind: str, local: str, remote: str, encap: int, flags: int, port: int) -> None:
        """A link of kind ipip, sit or ip6tnl with the encapsulation of that type, up. Raises OSError."""
        data = b"".join(
            (
                _attr(IPTUN_LOCAL, ip_address(local).packed),
                _attr(IPTUN_REMOTE, ip_address(remote).packed),
                _attr(IPTUN_TTL, bytes([64])),
                _attr(IPTUN_ENCAP_TYPE, struct.pack("=H", encap)),
                _attr(IPTUN_ENCAP_FLAGS, struct.pack("=H", flags)),
                _attr(IPTUN_ENCAP_SPORT, bytes(2)),
                _attr(IPTUN_ENCAP_DPORT, struct.pack("!H", port)),
            )
        )
        info = _attr(IFLA_INFO_KIND, kind.encode() + b"\0") + _attr(IFLA_INFO_DATA, data)
        body = struct.pack("=BBHiII", 0, 0, 0, 0, IFF_UP, IFF_UP) + _attr(IFLA_IFNAME, name.encode() + b"\0")
        self._do(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + _attr(IFLA_LINKINFO, info))

    def delete(self, name: str) -> None:
        """Raises OSError."""
        self._do(RTM_DELLINK, 0, struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + _attr(IFLA_IFNAME, name.encode() + b"\0"))
