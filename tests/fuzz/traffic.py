# SPDX-License-Identifier: Apache-2.0
"""Mutated packets into receiving ports, inside a guest; every one of them must be accounted for.

      a (sends)                 b (receives)
    +---------------+  wire  +-------------------------------+
    | 198.51.100.1  |--------| 198.51.100.2   sit, gre ...    |  ports 7000-7011, over IPv4 and IPv6
    | 2001:db8::1   |  eth0  | 2001:db8::2    ip6tnl ...      |
    +---------------+        |  tap0: packets made of pages   |
                             +-------------------------------+

packets.c knows this picture. The ways that leave the outer headers right are strict: each packet sent has to be in the
counter of a port that wire.h, which is in packets.c as well, says beforehand; what a device dropped before is counted there. Of
the other ways no more may arrive than was sent.
"""

from __future__ import annotations

import struct
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import rawnl
from net import Net
from rawnl import RawNetlink
from tool import gutctl, ok


@dataclass(frozen=True)
class Way:
    """How packets are sent; packets.c has them by the same names."""

    share: float
    strict: bool = True
    """Every packet has to be found again."""
    gro: bool = False
    merges: bool = False
    """GRO must have merged some: a tap gives it one packet at a time."""


WAYS = {
    "raw": Way(0.31),
    "vnet": Way(0.12),
    "udp": Way(0.12),
    "fragments": Way(0.04),
    "gro": Way(0.20, gro=True, merges=True),
    "tap": Way(0.10, gro=True),
    "outer": Way(0.08, strict=False, gro=True),
    "icmp": Way(0.03, strict=False),
}
ENDS = {"a": ("198.51.100.1/24", "2001:db8::1/64"), "b": ("198.51.100.2/24", "2001:db8::2/64")}
#: On a port that no payload of the corpus is for.
TUNNELS = {
    "west4": "--remote 198.51.100.1 --port 6090 --address 10.8.0.1/30",
    "west6": "--remote 2001:db8::1 --port 6090 --address 10.8.0.5/30",
    "gre": "--remote 198.51.100.1 --port 6090 --mode gre --key 7 --format gue",
}
FAMILY = {4: 2, 6: 10}
FOU = (4, 41, 47, 143)
UDP = 17
CLOSER = "looked at closer"
#: UDP in UDP to our own address would be one more packet for a port.
INNER = bytes(number for number in range(1, 256) if number not in (UDP, 136))
#: Longer than the debug kernel, a guest of few processor's time, needs for a poll: its clock must get on.
FLUSH_NANOSECONDS = 40_000_000
SETTLE_SECONDS = 20.0


class Lost(AssertionError):
    """Packets that are in no counter, or more of them than were sent."""


@dataclass
class Tally:
    """What became of the packets."""

    sent: int = 0
    counted: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def ports() -> dict[int, bytes]:
    """Number -> what is asked for beyond the key; packets.c has the numbers."""
    free = rawnl.u8("A_PORT_ANY_SOURCE", 1)
    made = {7000: free}
    for at, protocol in enumerate(FOU):
        made[7001 + at] = free + rawnl.u32("A_PORT_ACCEPT", rawnl.n("ACCEPT_FOU")) + rawnl.u8("A_PORT_FOU_PROTOCOL", protocol)
    made[7005] = free + rawnl.attr(rawnl.n("A_PORT_INNER"), INNER) + rawnl.u8("A_PORT_REMCSUM_NOPARTIAL", 1)
    made[7006] = b""
    return made


def closer_ports() -> dict[int, bytes]:
    """The same of those that look at more than wire.h knows: rules, keys, what GUE requires, headers alone."""
    free, secret = rawnl.u8("A_PORT_ANY_SOURCE", 1), bytes(range(32))

    def rule(number: int, action: str, *more: bytes) -> bytes:
        inside = rawnl.u8("A_OPTION_RULE_TYPE", number) + rawnl.u8("A_OPTION_RULE_ACTION", rawnl.n("OPTION_ACTION_" + action))
        return rawnl.nest("A_PORT_OPTION_RULE", inside, *more)

    deliver = rawnl.u8("A_OPTION_RULE_DELIVER", 1)
    rules = [rule(0x58, "IGNORE", deliver), rule(0x5A, "IGNORE"), rule(0x1C, "IGNORE", deliver), rule(0x30, "DROP"), rule(0x9E, "IGNORE")]
    gue = rawnl.u32("A_GUE_GROUP", 7) + rawnl.u8("A_GUE_CSUM", 1) + rawnl.attr(rawnl.n("A_GUE_COOKIE"), bytes(range(1, 9)))
    return {
        7007: free + b"".join(rules),
        7008: free + rule(0x58, "REQUIRE", rawnl.attr(rawnl.n("A_OPTION_RULE_VALUE"), b"\0\0\0\7")),
        7009: free + rawnl.nest("A_PORT_KEY", rawnl.u16("A_KEY_ID", 1), rawnl.attr(rawnl.n("A_KEY_SECRET"), secret)),
        7010: free + rawnl.nest("A_PORT_GUE", gue),
        7011: free + rawnl.u8("A_PORT_VERIFY_HEADERS", 1),
    }


class Bench:
    """The picture above."""

    def __init__(self, net: Net, program: Path, corpus: Path) -> None:
        self.program, self.corpus = program, corpus
        self.a, self.b = net.host("a"), net.host("b")
        net.link(self.a, self.b, ENDS["a"], ENDS["b"], mtu=9000)
        self.a.ip("link set eth0 address 02:00:00:00:00:0a")
        self.b.ip("link set eth0 address 02:00:00:00:00:0b")
        self.a.ip(*(f"neigh replace {address} lladdr 02:00:00:00:00:0b dev eth0" for address in ("198.51.100.2", "2001:db8::2")))
        self.b.ip(*(f"neigh replace {address} lladdr 02:00:00:00:00:0a dev eth0" for address in ("198.51.100.1", "2001:db8::1")))
        # fragments that wait in a queue of another processor are not too far away
        self.b.sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0, ipv4__ipfrag_max_dist=0)
        ends = "local 198.51.100.2 remote 198.51.100.1", "local 2001:db8::2 remote 2001:db8::1"
        links = [
            "in4 type sit mode any local 198.51.100.2",
            "in6 type ip6tnl mode any local 2001:db8::2",
            f"gre4 type gre {ends[0]}",
            f"tap4 type gretap {ends[0]}",
            f"gre6 type ip6gre {ends[1]}",
            f"tap6 type ip6gretap {ends[1]}",
        ]
        self.b.ip(*(f"link add {link}" for link in links), *(f"link set {link.split()[0]} up" for link in links))
        self.b.ip("addr add 10.9.0.1/32 dev lo", "addr add fd09::1/128 dev lo nodad")
        self.b.ip("tuntap add dev tap0 mode tap", "link set tap0 address 02:00:00:00:00:0b mtu 9000 up")
        # a veth pair hands packets of a sender that cuts them itself past GRO
        self.a.run("ethtool", "-K", "eth0", "tso", "off")
        self.netlink: RawNetlink = self.b.call(RawNetlink)
        self.sysfs = Path("/run/fuzz-sysfs")
        self.sysfs.mkdir(exist_ok=True)
        self.b.run("mount", "-t", "sysfs", "none", str(self.sysfs))
        for family in FAMILY:
            for number, body in (ports() | closer_ports()).items():
                more = rawnl.u8("A_PORT_ZERO_CSUM6", 1) if family == 6 else b""
                more += rawnl.source("203.0.113.0/24" if family == 4 else "2001:db8:1::/48") if number == 7006 else b""
                self.netlink.do("PORT_ADD", rawnl.key(number, family), body, more)

        # those that ICMP errors are meant for
        for name, words in TUNNELS.items():
            ok(gutctl("tunnel", "add", name, *words.split(), netns=self.b))

    def close(self) -> None:
        self.netlink.close()
        self.b.run("umount", str(self.sysfs))

    def gro(self, on: bool) -> None:
        """Merging at the receiver, over more than one poll of it."""
        self.b.run("ethtool", "-K", "eth0", "gro", "on" if on else "off")
        for name, value in (("gro_flush_timeout", FLUSH_NANOSECONDS if on else 0), ("napi_defer_hard_irqs", 1 if on else 0)):
            (self.sysfs / "class/net/eth0" / name).write_text(str(value))

    def counters(self) -> Counter[str]:
        """All ports together; octets and those merged apart; of ports that look closer the sum, and what is no packet."""
        total: Counter[str] = Counter()
        for family in FAMILY:
            for number in ports():
                total.update(self.netlink.counters(rawnl.key(number, family)))
            for number in closer_ports():
                one = Counter(self.netlink.counters(rawnl.key(number, family)))
                for name in ("octets", "gro-packets", "reports-sent", "reports-limited"):
                    total[name] += one.pop(name, 0)
                total[CLOSER] += sum(one.values())
        del total["octets"]
        return total

    def icmp_errors(self) -> int:
        """ICMP errors that were handed to the links."""
        plain = self.netlink.do("INFO_GET")[0].first("A_INFO_PLAIN") or b""
        return int(struct.unpack("=Q", dict(rawnl.split(plain))[rawnl.n("A_TX_ICMP_ERRORS")])[0])

    def lost_before(self) -> int:
        """Packets that a device of b or the processors' queues dropped: they never got to UDP."""
        queues = sum(int(line.split()[1], 16) for line in Path("/proc/net/softnet_stat").read_text().splitlines())
        return queues + sum(self.b.counter(device, "rx_dropped") for device in ("eth0", "tap0"))

    def datagrams(self) -> int:
        """What UDP of b has taken in: a count that is not the module's."""

        def read() -> int:
            lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
            names, values = (line.split() for line in lines if line.startswith("Udp:"))
            six = dict(line.split() for line in Path("/proc/thread-self/net/snmp6").read_text().splitlines())
            return int(values[names.index("InDatagrams")]) + int(six["Udp6InDatagrams"])

        return self.b.call(read)

    @staticmethod
    def _compare(words: str, wanted: list[str], counted: Counter[str]) -> None:
        """Each counter is what wire.h said beforehand; it does not see how deep tunnels are nested."""
        names = rawnl.reasons() | {rawnl.n("A_RX_PAD"): CLOSER}
        said = {names[int(number)]: int(count) for number, _, count in (word.partition(":") for word in wanted)}
        found = dict(+counted)
        found["packets"] = found.get("packets", 0) + found.pop("nesting", 0)
        # how often a source asks is not for wire.h to know
        found["echo-requests"] = found.get("echo-requests", 0) + found.pop("control-limit", 0)
        wrong = [f"{name} {said.get(name, 0)}, not {found.get(name, 0)}" for name in said | found if said.get(name, 0) != found.get(name, 0)]
        if wrong:
            raise Lost(f"{words}; by wire.h they should be: {', '.join(wrong)}")

    def run(self, way: str, seed: int, count: int) -> Tally:
        """Send so many packets one way. Raises Lost where the counters do not say what became of each."""
        how = WAYS[way]
        self.gro(how.gro)
        before, lost, taken, errors = self.counters(), self.lost_before(), self.datagrams(), self.icmp_errors()
        started = time.monotonic()
        host = self.b if way == "tap" else self.a
        command = [str(self.program), way, str(seed), str(count), str(self.corpus)]
        sender = host.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said, trouble = sender.communicate(timeout=60 + count / 500)
        if sender.returncode:
            raise Lost(f"{way}: the sender ended with {sender.returncode}: {trouble.decode(errors='replace')}")
        number, *wanted = said.decode().split()
        tally = Tally(sent=int(number))
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            tally.counted = self.counters() - before
            merged = tally.counted.pop("gro-packets", 0)
            # of packets that are counted as dropped as well
            told = tally.counted.pop("reports-sent", 0) + tally.counted.pop("reports-limited", 0)
            dropped = self.lost_before() - lost
            missing = tally.sent - sum(tally.counted.values()) - dropped
            if missing <= 0 or not how.strict or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        tally.seconds = time.monotonic() - started
        counted = sum(tally.counted.values())
        words = f"{way}, seed {seed}: of {tally.sent} packets {counted} are counted: {dict(tally.counted)}; {dropped} dropped before UDP"
        if missing < 0:
            raise Lost(f"{words}; {-missing} too many")
        if missing and how.strict:
            raise Lost(f"{words}; {missing} are nowhere")
        # of those that got lost nobody knows what they would have been
        if how.strict and not dropped:
            self._compare(words, wanted, tally.counted)
        # what headers verified alone tell comes before UDP
        if how.strict and not how.gro and not counted - tally.counted[CLOSER] <= (took := self.datagrams() - taken) <= counted:
            raise Lost(f"{words}; UDP took in {took}")
        if how.merges and not merged:
            raise Lost(f"{words}; GRO merged none of them")
        if merged:
            tally.counted["merged"] = merged
        if told:
            tally.counted["reported"] = told
        if way == "icmp":
            tally.counted["handed to links"] = self.icmp_errors() - errors
            if not tally.counted["handed to links"]:
                raise Lost(f"{words}; no ICMP error found its link")
        return tally
