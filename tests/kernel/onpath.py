# SPDX-License-Identifier: Apache-2.0
"""A way through two routers and a NAT, each wire with an MTU of its own.

    a ---- 1500 ---- in r1 out ---- 1450 ---- in n out ---- 1480 ---- in r2 out ---- 1400 ---- eth0 b
    10.1.0.2         forwards         translates, verifies       forwards               203.0.113.2
    fd01::2                                                                             2001:db8:2::2

No device sums or merges for anybody: what arrives was summed by who sent it.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Self

from net import Host, Net
from rawnl import RawNetlink, attr, n, numbers, split, u32
from traffic import wait_until

from gutctl.encap import Gutless, MinPathMtu, Option, check_state, decode, encode, pad, seal

MTU = {"a": 1500, "r1": 1450, "n": 1480, "r2": 1400}
PORT = 6080
LOOPBACK_HEADER = bytes.fromhex("450000140000000040047ce77f0000017f000001")
"""An IPv4 packet without anything in it, as the inner one."""
RULES = """
table inet watch {
  chain prerouting { type filter hook prerouting priority 0; policy accept;
    meta l4proto udp ct state invalid counter drop
  }
}
table ip nat {
  chain postrouting { type nat hook postrouting priority srcnat; policy accept;
    oifname "out" masquerade
  }
}
table ip6 nat {
  chain postrouting { type nat hook postrouting priority srcnat; policy accept;
    oifname "out" masquerade
  }
}
"""


def packet(*options: Option, inner: bytes = LOOPBACK_HEADER, control: bool = False, check: bool = True) -> bytes:
    """A GUT-less payload of these options, padded, with Check unless told otherwise."""
    made = encode(Gutless(1 if control else 4, pad(options), control=control), inner)
    return seal(made) if check else made


def minimum(value: int, reported: int = 0, reply: bool = False) -> Option:
    """The option that says so much."""
    return MinPathMtu(value, reported, reply).option()


def counters(netlink: RawNetlink, ifindex: int) -> dict[str, int]:
    """Those of a device, by their names in the uapi header: seen, lowered, left-enough ..."""
    (told,) = netlink.do("DEVICE_GET", u32("A_DEVICE_IFINDEX", ifindex))
    names = {
        number: name.removeprefix("A_ONPATH_").lower().replace("_", "-")
        for name, number in numbers().items()
        if name.startswith("A_ONPATH_")
    }
    found = {names[kind]: int.from_bytes(data, "little") for kind, data in split(told.first("A_DEVICE_STATS") or b"")}
    found.pop("pad", None)
    return found


class OnDevice:
    """A device of a router that can be told what to do."""

    def __init__(self, host: Host, device: str) -> None:
        self.host, self.device = host, device
        self.netlink = host.call(RawNetlink)
        self.ifindex = host.call(socket.if_nametoindex, device)

    def set(self, on: bool = True, *ports: int) -> None:
        """Switch it, with ports of its own where some are given."""
        body = u32("A_DEVICE_ONPATH", int(on))
        if ports:
            body += attr(n("A_DEVICE_PORTS"), b"".join(port.to_bytes(2, "big") for port in ports))
        self.netlink.do("DEVICE_SET", u32("A_DEVICE_IFINDEX", self.ifindex), body)

    def counters(self) -> dict[str, int]:
        return counters(self.netlink, self.ifindex)

    def fresh(self, *ports: int) -> None:
        """On, with counters of zero."""
        self.set(False)
        self.set(True, *ports)


class Way:
    """The hosts, and sockets at both ends."""

    def __init__(self, net: Net) -> None:
        self.a, self.r1, self.n, self.r2, self.b = (net.host(role) for role in ("a", "r1", "n", "r2", "b"))
        wires = [
            (self.a, self.r1, ("eth0", "in"), "10.1.0.{}/24", "fd01::{}/64", (2, 1), MTU["a"]),
            (self.r1, self.n, ("out", "in"), "10.2.0.{}/24", "fd02::{}/64", (1, 2), MTU["r1"]),
            (self.n, self.r2, ("out", "in"), "198.51.100.{}/24", "2001:db8:1::{}/64", (1, 2), MTU["n"]),
            (self.r2, self.b, ("out", "eth0"), "203.0.113.{}/24", "2001:db8:2::{}/64", (1, 2), MTU["r2"]),
        ]
        for left, right, names, v4, v6, ends, mtu in wires:
            addresses = [[v4.format(end), v6.format(end)] for end in ends]
            net.link(left, right, addresses[0], addresses[1], offloads=False, mtu=mtu, names=names)
        for host in (self.r1, self.n, self.r2):
            host.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        self.a.ip("route add default via 10.1.0.1", "route add default via fd01::1")
        self.r1.ip("route add default via 10.2.0.2", "route add default via fd02::2")
        self.n.ip(
            "route add 10.1.0.0/24 via 10.2.0.1", "route add fd01::/64 via fd02::1",
            "route add 203.0.113.0/24 via 198.51.100.2", "route add 2001:db8:2::/64 via 2001:db8:1::2",
        )  # fmt: skip
        self.b.ip("route add default via 203.0.113.1", "route add default via 2001:db8:2::1")
        self.n.run("nft", "-f", "-", input=RULES)
        self.n.sysctl(netfilter__nf_conntrack_checksum=1)
        self.first, self.second = OnDevice(self.r1, "out"), OnDevice(self.r2, "out")
        self.damaged = 0
        """Packets that a test damages on purpose."""
        self._sockets: list[socket.socket] = []
        self.senders = {v: self._open(self.a, "0.0.0.0" if v == 4 else "::", 0) for v in (4, 6)}
        self.receivers = {v: self._open(self.b, self.there(v), PORT) for v in (4, 6)}
        for version in (4, 6):
            self.settle(version)

    def _open(self, host: Host, address: str, port: int) -> socket.socket:
        made = host.udp(address, port, timeout=30)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._sockets.append(made)
        return made

    def there(self, version: int) -> str:
        """The address of b."""
        return "203.0.113.2" if version == 4 else "2001:db8:2::2"

    def outside(self, version: int) -> str:
        """The address of the NAT that b sees."""
        return "198.51.100.1" if version == 4 else "2001:db8:1::1"

    def settle(self, version: int) -> None:
        """Every neighbour on the way is known: nothing is lost while an address is looked for."""

        def through() -> bool:
            self.senders[version].sendto(b"\0", (self.there(version), PORT))
            self.receivers[version].settimeout(0.2)
            try:
                return bool(self.receivers[version].recv(100))
            except TimeoutError:
                return False
            finally:
                self.receivers[version].settimeout(30)

        wait_until(through, 60, "a packet from a to b")
        self.drain(version)

    def drain(self, version: int) -> None:
        """Forget what b has received so far."""
        self.receivers[version].setblocking(False)
        try:
            while True:
                self.receivers[version].recv(1 << 16)
        except BlockingIOError:
            self.receivers[version].settimeout(30)

    def pass_on(self, version: int, payloads: Sequence[bytes]) -> list[bytes]:
        """Send them, each when the one before it has come; what b gets of each, the sender being the NAT."""
        found = []
        for payload in payloads:
            self.senders[version].sendto(payload, (self.there(version), PORT))
            got, peer = self.receivers[version].recvfrom(1 << 16)
            assert peer[0] == self.outside(version), f"from {peer[0]}: nobody translated it"
            found.append(got)
        return found

    def invalid(self) -> int:
        """UDP packets that connection tracking at the NAT took for broken, and dropped."""
        said = self.n.run("nft", "list", "table", "inet", "watch").stdout
        found = re.search(r"counter packets (\d+)", said)
        assert found, said
        return int(found[1])

    def close(self) -> None:
        for one in self._sockets:
            one.close()
        for device in (self.first, self.second):
            device.netlink.close()


class OneRouter:
    """a eth0 ---- in r out ---- eth0 b; 1500 before the router, 1400 behind it, whose device out can be told."""

    def __init__(self, net: Net, *, offloads: bool) -> None:
        self.a, self.r, self.b = (net.host(role) for role in ("a", "r", "b"))
        near = (["10.1.0.2/24", "fd01::2/64"], ["10.1.0.1/24", "fd01::1/64"])
        far = (["10.2.0.1/24", "fd02::1/64"], ["10.2.0.2/24", "fd02::2/64"])
        net.link(self.a, self.r, *near, offloads=offloads, names=("eth0", "in"))
        net.link(self.r, self.b, *far, offloads=offloads, mtu=1400, names=("out", "eth0"))
        self.r.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        self.a.ip("route add default via 10.1.0.1", "route add default via fd01::1")
        self.b.ip("route add default via 10.2.0.1", "route add default via fd02::1")
        self.out = OnDevice(self.r, "out")

    @staticmethod
    def ends(version: int) -> tuple[str, str]:
        """The addresses of a and b."""
        return ("10.1.0.2", "10.2.0.2") if version == 4 else ("fd01::2", "fd02::2")

    def close(self) -> None:
        self.out.netlink.close()


class Bridge(OneRouter):
    """a eth0 ---- in r out ---- eth0 b; r's br0 has in and out, hands what it forwards to the firewall, and has 1400."""

    def __init__(self, net: Net) -> None:
        self.a, self.r, self.b = (net.host(role) for role in ("a", "r", "b"))
        net.link(self.a, self.r, ["10.1.0.2/24", "fd01::2/64"], offloads=False, names=("eth0", "in"))
        net.link(self.r, self.b, [], ["10.1.0.3/24", "fd01::3/64"], offloads=False, names=("out", "eth0"))
        self.r.ip(
            "link add br0 type bridge mcast_snooping 0", "link set in master br0", "link set out master br0",
            "link set br0 mtu 1400 up",
        )  # fmt: skip
        self.r.sysctl(**{"bridge__bridge-nf-call-iptables": 1, "bridge__bridge-nf-call-ip6tables": 1})
        self.out = OnDevice(self.r, "br0")

    @staticmethod
    def ends(version: int) -> tuple[str, str]:
        """The addresses of a and b."""
        return ("10.1.0.2", "10.1.0.3") if version == 4 else ("fd01::2", "fd01::3")


class Flood:
    """Packets from a to b behind one router, over both versions, for as long as the block lasts; b judges each that comes."""

    def __init__(self, router: OneRouter) -> None:
        self.router = router
        self.seen: dict[int, Counter[str]] = {4: Counter(), 6: Counter()}
        """By version: what came, ``as it was``, ``lowered``, or ``wrong``."""
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def _send(self, version: int) -> None:
        target = self.router.ends(version)[1]
        number = 0
        with self.router.a.udp("0.0.0.0" if version == 4 else "::", 0) as sender:
            while not self._stop.is_set():
                payload = packet(*[Option(0)] * (number % 5), minimum(9000 + number % 1000), inner=bytes(30 + number % 2))
                try:
                    sender.sendto(payload, (target, PORT))
                except OSError:
                    pass  # no way there, for now
                number += 1
                if not number % 10:
                    time.sleep(0.002)  # the test itself wants to run as well

    def _receive(self, version: int) -> None:
        with self.router.b.udp(self.router.ends(version)[1], PORT, timeout=0.2) as receiver:
            while not self._stop.is_set():
                try:
                    payload = receiver.recv(2000)
                except TimeoutError:
                    continue
                header = decode(payload).header
                assert isinstance(header, Gutless)
                (value,) = (int.from_bytes(one.data[:2], "big") for one in header.options if one.name == "min-path-mtu")
                word = "wrong" if check_state(payload) != "ok" else "as it was" if value >= 9000 else "lowered"
                self.seen[version][word if value >= 9000 or value == 1400 else "wrong"] += 1

    def wait(self, word: str, more: int = 20) -> None:
        """Until so many more of these have come over either version."""
        before = {version: seen[word] for version, seen in self.seen.items()}
        wait_until(lambda: all(self.seen[v][word] >= before[v] + more for v in (4, 6)), 60, f"packets that come {word}")

    def __enter__(self) -> Self:
        for work in (self._send, self._receive):
            self._threads += [threading.Thread(target=work, args=(version,), daemon=True) for version in (4, 6)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
