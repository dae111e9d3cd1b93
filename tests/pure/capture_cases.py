# SPDX-License-Identifier: Apache-2.0
"""Tunnels whose packets are kept as captures, in tests/pure/captures: made by tests/kernel/test_captures.py, read by
tests/pure/test_captures.py.

Every link gets the same inner packets, of the IP versions it carries.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from gutctl.encap import Option, checksum, pseudo_sum, transport_checksum
from gutctl.ext_api import parse_option
from gutctl.pcap import read_frames

FOLDER = Path(__file__).with_name("captures")
PORT, FOU_PORT = 6080, 5555
INNER = {4: ("10.9.0.1", "10.9.0.77"), 6: ("fd09::1", "fd09::77")}
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
CHECK_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMP6: 2}
RENEW = (
    "make test-kernel T=tests/kernel/test_captures.py VMARGS='--results /tmp/fresh'; "
    "cp /tmp/fresh/captures/*.pcap tests/pure/captures/"
)


@dataclass(frozen=True)
class Case:
    """A tunnel. ``words``: options, as ``--option`` takes them."""

    form: str
    outer: int
    kind: str
    csum: str = "full"
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = [word.partition("=")[0] for word in self.words]
        return "-".join([self.form, self.kind, f"over{self.outer}", *([self.csum] if self.csum != "full" else []), *names])

    @property
    def file(self) -> Path:
        """Where its capture is."""
        return FOLDER / f"{self}.pcap"

    @property
    def dport(self) -> int:
        """The port it sends to."""
        return FOU_PORT if self.form == "fou" else PORT

    @property
    def versions(self) -> tuple[int, ...]:
        """Inner IP versions."""
        return (4,) if self.kind == "ipip" else (4, 6)

    @property
    def options(self) -> tuple[Option, ...]:
        """What the profile is given."""
        return tuple(map(parse_option, self.words))

    @property
    def bare(self) -> bool:
        """A link that adds no header."""
        return self.form == "fou" or (self.form == "gutless" and "gre" not in self.kind and self.csum == "full" and not self.words)

    @property
    def remote(self) -> bool:
        """Inner checksums are left to the receiver where they are still to be made."""
        return self.csum.startswith("remote")

    def packets(self) -> list[bytes]:
        """What was captured, masked."""
        with self.file.open("rb") as file:
            return [frame.data for frame in read_frames(file)]


CASES = (
    Case("fou", 4, "ipip"),
    Case("gutless", 4, "sit"),
    Case("gutless", 6, "ip6tnl"),
    Case("gutless", 4, "gre"),
    Case("gutless", 6, "ip6gretap"),
    Case("gutless", 4, "sit", "zero"),
    Case("gutless", 4, "sit", "remote"),
    Case("gutless", 6, "ip6gre", "remote", ("group=7",)),
    Case("gutless", 4, "sit", "full", ("group=0xabcdef", "session=1,target=2")),
    Case("gutless", 6, "ip6tnl", "full", ("timing", "0x3e=cafe")),
    Case("gutless", 4, "gretap", "full", ("min-path-mtu=0,reply=yes", "pdm=22,scale_sent=30,packet=7,last_received=6,delta_received=1,delta_sent=2")),
    Case("gue", 4, "sit"),
    Case("gue", 6, "ip6tnl"),
    Case("gue", 6, "ip6gre", "remote"),
    Case("gue", 4, "sit", "remote-draft"),
)


@dataclass(frozen=True)
class Inner:
    """An inner packet; ``partial``: the checksum, this far from its start, is left to the device."""

    version: int
    protocol: int
    data: bytes
    start: int
    partial: bool


def _inner(version: int, protocol: int, segment: bytes, partial: bool) -> Inner:
    source, target = map(ip_address, INNER[version])
    at = CHECK_AT[protocol]
    if protocol == ICMP:
        value = checksum(segment)
    elif partial:
        value = pseudo_sum(source, target, protocol, len(segment))
    else:
        value = transport_checksum(source, target, protocol, segment)
    segment = segment[:at] + value.to_bytes(2, "big") + segment[at + 2 :]
    ends = source.packed + target.packed
    if version == 6:
        return Inner(6, protocol, struct.pack("!IHBB", 6 << 28, len(segment), protocol, 64) + ends + segment, 40, partial)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0x4000, 64, protocol, 0) + ends
    return Inner(4, protocol, head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + segment, 20, partial)


def inners(version: int) -> list[Inner]:
    """A TCP segment whose checksum is still to be made, a UDP datagram that is whole, an echo request."""
    tcp = struct.pack("!HHIIBBHHH", 4000, 5000, 1, 1, 0x50, 0x18, 1000, 0, 0) + b"a segment"
    udp = struct.pack("!HHHH", 4000, 5001, 18, 0) + b"a datagram"
    echo = struct.pack("!BBHHH", 8 if version == 4 else 128, 0, 0, 1, 2) + b"an echo request"
    return [_inner(version, TCP, tcp, True), _inner(version, UDP, udp, False), _inner(version, ICMP if version == 4 else ICMP6, echo, False)]
