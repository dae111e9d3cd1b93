# SPDX-License-Identifier: Apache-2.0
"""Packets within packets, taken apart level by level, everything verified as a receiver would."""

from __future__ import annotations

from dataclasses import dataclass

from frames import UDP, Ip, parse_ip, parse_outer

from gutctl.encap import Header, decode, remote_finish, remote_of, transport_checksum_ok


@dataclass(frozen=True)
class Unwrapped:
    """What was inside, and the headers around it."""

    ip: Ip
    headers: tuple[Header, ...]
    """The outermost first."""
    tags: tuple[int, ...] = ()
    """VLANs of the innermost Ethernet frame."""

    @property
    def left(self) -> list[bool]:
        """Of each header, whether it leaves a checksum to the receiver."""
        return [remote_of(header) is not None for header in self.headers]


def _frame(frame: bytes) -> tuple[bytes, tuple[int, ...]]:
    """What an Ethernet frame carries, and its VLANs."""
    at, tags = 12, []
    while frame[at : at + 2] == b"\x81\x00":
        tags.append(int.from_bytes(frame[at + 2 : at + 4], "big") & 0xFFF)
        at += 4
    assert frame[at : at + 2] in (b"\x08\x00", b"\x86\xdd"), frame[:20].hex()
    return frame[at + 2 :], tuple(tags)


def unwrap(packet: bytes, port: int, *, outer: tuple[str, ...] = ("ok",)) -> Unwrapped:
    """Take an IP packet apart as long as it is UDP to ``port``, finishing checksums that are left to the receiver.

    Every UDP checksum on the way has to be right (the outermost: one of ``outer``), and in the end TCP's or UDP's.
    """
    headers: list[Header] = []
    tags: tuple[int, ...] = ()
    while True:
        ip = parse_ip(packet)
        udp = parse_outer(packet) if ip.protocol == UDP else None
        if udp is None or udp.dport != port:
            break
        wanted = ("ok", "none") if headers else outer
        assert udp.csum in wanted, f"UDP checksum {udp.csum} at level {len(headers)}"
        decoded = decode(udp.payload)
        headers.append(decoded.header)
        packet = remote_finish(decoded.payload, remote_of(decoded.header))
        if decoded.protocol == 47:
            assert packet[:2] == b"\0\0", "GRE with options"
            packet, tags = _frame(packet[4:]) if packet[2:4] == b"\x65\x58" else (packet[4:], ())
        elif decoded.protocol == 143:
            packet, tags = _frame(packet)
    assert ip.octets == len(packet), f"{len(packet)} octets for an inner packet of {ip.octets}"
    assert transport_checksum_ok(ip.source, ip.destination, ip.protocol, ip.payload), f"inner checksum, protocol {ip.protocol}"
    return Unwrapped(ip, tuple(headers), tags)
