# SPDX-License-Identifier: Apache-2.0
"""Check through a NAT that verifies, to a plain UDP socket: the checksum is one that everybody takes.

      a, the tunnel ---- in r out ---- b, a socket       offloads off; r masquerades and drops what is invalid
"""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from capture import capture
from ends import HEADER, End, assert_offloads_off
from frames import TCP, UDP
from net import Host, Net
from outer import KINDS
from vnet import put, single

from gutctl.encap import Gutless, check_state, decode
from gutctl.ext_api import parse_option
from gutctl.model import Csum, Format
from gutctl.netlink import Kernel

NUMBER = 6080
A, B = {4: "10.1.0.2", 6: "fd01::2"}, {4: "198.51.100.2", 6: "2001:db8::2"}
INNER, FAR = {4: "10.9.0.1", 6: "fd09::1"}, {4: "10.9.0.2", 6: "fd09::2"}
RULES = """
table inet t {
  chain invalid { type filter hook prerouting priority 0; ct state invalid counter drop; }
  chain nat { type nat hook postrouting priority 100; oifname "out" meta l4proto udp masquerade to :40000-40999; }
}
"""


@dataclass
class Way:
    a: End
    r: Host
    b: Host

    def invalid(self) -> int:
        """Packets that connection tracking has called invalid."""
        words = self.r.run("nft", "list", "chain", "inet", "t", "invalid").stdout.split()
        return int(words[words.index("packets") + 1])


@pytest.fixture(scope="module")
def way(gutless: None, module_net: Net) -> Iterator[Way]:
    a, r, b = (module_net.host(name) for name in "arb")
    module_net.link(a, r, ["10.1.0.2/24", "fd01::2/64"], ["10.1.0.1/24", "fd01::1/64"], offloads=False, names=("eth0", "in"))
    module_net.link(
        r, b, ["198.51.100.1/24", "2001:db8::1/64"], ["198.51.100.2/24", "2001:db8::2/64"], offloads=False, names=("out", "eth0")
    )
    for host, device in ((a, "eth0"), (r, "in"), (r, "out"), (b, "eth0")):
        assert_offloads_off(host, device)
    r.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
    a.ip("route add default via 10.1.0.1", "route add default via fd01::1")
    r.run("nft", "-f", "-", input=RULES)
    r.sysctl(netfilter__nf_conntrack_checksum=1)
    end = End(a, Kernel(a.name), A, INNER)
    yield Way(end, r, b)
    end.close()


@pytest.fixture
def sock(way: Way, family: int) -> Iterator[socket.socket]:
    with way.b.udp(B[family], NUMBER, timeout=30) as made:
        yield made
    way.a.clear()


@pytest.fixture(params=[4, 6], ids=["over4", "over6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.parametrize(("family", "local"), [(4, True), (4, False), (6, True)], ids=["over4", "over4 by route", "over6"])
def test_a_plain_socket_takes_it(way: Way, family: int, sock: socket.socket, local: bool) -> None:
    """Whole or with its checksum to be made, of odd and even length; translated, and never called invalid.

    Links over IPv6 have an address of their own, always.
    """
    a = way.a
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL, options=(parse_option("session=1,target=2"),))
    kind = {4: "sit", 6: "ip6tnl"}[family]
    a.tunnel("tun", B[family], HEADER, NUMBER, number=number, kind=kind, local=local)
    packets = [
        single(INNER[inner], FAR[inner], protocol, size, partial=partial)
        for inner in (4, 6)
        for protocol in (TCP, UDP)
        for partial in (False, True)
        for size in (0, 1, 100, 1201)
    ]
    assert KINDS[kind] == family
    with capture(way.b, "eth0") as wire:
        put(a.host, "tun", *packets)
        for packet in packets:
            data, (source, port, *_) = sock.recvfrom(2000)
            assert (ip_address(source), port in range(40000, 41000)) == (
                ip_address({4: "198.51.100.1", 6: "2001:db8::1"}[family]), True,
            )  # fmt: skip
            header = decode(data).header
            assert isinstance(header, Gutless) and header.check and check_state(data) == "ok"
            assert data.endswith(packet.payload)
        assert {outer.csum for outer in wire.wait(len(packets), NUMBER)} == {"ok"}
    assert way.invalid() == 0


def test_tcpdump_calls_it_right(way: Way, family: int, sock: socket.socket) -> None:
    a, b = way.a, way.b
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL, options=(parse_option("group=7"),))
    a.tunnel("tun", B[family], HEADER, NUMBER, number=number, kind={4: "sit", 6: "ip6tnl"}[family])
    packets = [single(INNER[4], FAR[4], TCP, size, partial=partial) for size in (1, 100) for partial in (False, True)]
    command = ["tcpdump", "-vv", "-l", "-n", "-c", str(len(packets)), "-i", "eth0", f"udp dst port {NUMBER}"]
    with b.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dump:
        try:
            assert dump.stderr and b"listening on" in dump.stderr.readline()
            put(a.host, "tun", *packets)
            said, _ = dump.communicate(timeout=60)
        finally:
            dump.kill()
    assert said.count(b"[udp sum ok]") == len(packets)
    for packet in packets:
        assert sock.recv(2000).endswith(packet.payload)


def test_the_nat_does_verify(way: Way, family: int, sock: socket.socket) -> None:
    """A datagram whose checksum is wrong is invalid to it: so what passed above was right."""
    sock.settimeout(1)
    before = way.invalid()
    datagram = struct.pack("!HHHH", 50000, NUMBER, 12, 0x1234) + b"\x80\x04\x12\x34"
    with way.a.host.socket({4: socket.AF_INET, 6: socket.AF_INET6}[family], socket.SOCK_RAW, UDP) as raw:
        raw.sendto(datagram, (B[family], 0))
    with pytest.raises(TimeoutError):
        sock.recv(2000)
    assert way.invalid() == before + 1


def test_a_host_that_translates_what_it_tunnels(way: Way, family: int, sock: socket.socket) -> None:
    """There the inner checksum has to be made before: the link says that it makes none, and the NAT finds nothing left to do."""
    a = way.a
    number = a.profile(Format.GUTLESS, Csum.NEUTRAL)
    kind = {4: "sit", 6: "ip6tnl"}[family]
    a.tunnel("tun", B[family], HEADER, NUMBER, number=number, kind=kind)
    a.host.run("ethtool", "-K", "tun", "tx", "off")
    table = RULES.replace('oifname "out"', 'oifname "eth0"').replace("40000-40999", "41000-41999")
    a.host.run("nft", "-f", "-", input=table)
    try:
        packets = [single(INNER[4], FAR[4], UDP, size, partial=True) for size in (1, 100)]
        put(a.host, "tun", *packets)
        for packet in packets:
            data = sock.recv(2000)
            assert check_state(data) == "ok" and data.endswith(packet.payload)
    finally:
        a.host.run("nft", "delete", "table", "inet", "t")
