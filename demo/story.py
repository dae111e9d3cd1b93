# SPDX-License-Identifier: Apache-2.0
"""The demonstration: host A behind a NAT router, host B outside, a GUT-less and a GUE tunnel between them.

Hosts are network namespaces of the kernel it runs on, as root. Everything is taken away at the end.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests" / "kernel"), str(HERE.parent)]

import modules
from command import CommandFailed, gutctl, load
from net import CommandError, Host, Net
from topology import Nat, nat
from traffic import Capture, ping, tcp_transfer

PICTURE = """
   host A                     NAT router                    host B
  10.1.0.2 ----- 10.1.0.1 [ masquerade ] 198.51.100.1 ----- 198.51.100.2
     |                                                  \\-- 198.51.100.3
     |    UDP 6080, source port 6080 kept, so that the router's entry fits both ways
     |                                                         |
  west 10.9.0.1 ===== GUT-less (0 octets around IP) ===== 10.9.0.2 east
  gw   10.9.1.1 ===== GUE      (4 octets around IP) ===== 10.9.1.2 ge
"""
OCTETS = 8 << 20
STARTED = time.monotonic()
NAMES = {"a": "demo-a", "r": "demo-router", "b": "demo-b"}
OFFLOADS_ON = ("tx", "on", "sg", "on", "tso", "on", "gso", "on", "gro", "on")


class Stage(Net):
    """Hosts with names that read well; other programs' namespaces keep theirs."""

    def host(self, role: str = "h") -> Host:
        made = Host(NAMES[role])
        if made.path.exists():
            raise CommandFailed(f"there is a namespace {made.name} already: ip netns del {made.name}")
        made.create()
        self.hosts.append(made)
        return made


def say(text: str) -> None:
    print(f"\n--- {text}   [{time.monotonic() - STARTED:.0f} s]", flush=True)


def show(words: str) -> None:
    """A command and what it says."""
    print(f"# gutctl {words}")
    print(gutctl(*words.split()), end="", flush=True)


def lay_out(net: Net) -> Nat:
    """Hosts and wires as in the picture. Offloads off, so that a captured packet is what a real wire would carry."""
    hosts = nat(net, offloads=False)
    hosts.b.ip("addr add 198.51.100.3/24 dev eth0")
    return hosts


def add_tunnels() -> None:
    """Both ends of both tunnels. The router keeps source port 6080, so the default peer port is right for B as well."""
    to_a = "--remote 198.51.100.1 --sport 6080"
    show("-n demo-a tunnel add west --remote 198.51.100.2 --sport 6080 --address 10.9.0.1/30")
    show(f"-n demo-b tunnel add east {to_a} --local 198.51.100.2 --address 10.9.0.2/30")
    show("-n demo-a tunnel add gw --format gue --remote 198.51.100.3 --sport 6080 --address 10.9.1.1/30")
    show(f"-n demo-b tunnel add ge --format gue {to_a} --local 198.51.100.3 --address 10.9.1.2/30")


def on_the_wire(frame: bytes) -> bool:
    """An IPv4 packet with UDP to port 6080."""
    return frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == (6080).to_bytes(2, "big")


def pings(hosts: Nat) -> list[bytes]:
    """Both ways through both tunnels; returns one captured frame of each tunnel. A is first: it opens the router."""
    samples = []
    for far, near in (("10.9.0.2", "10.9.0.1"), ("10.9.1.2", "10.9.1.1")):
        with Capture(hosts.r, "outside", on_the_wire, incoming=False) as seen:
            out = ping(hosts.a, far, count=3)
            samples.append(seen.wait(1)[0])
        back = ping(hosts.b, near, count=3)
        print(f"A -> {far}: {out.received} of {out.sent} answered;  B -> {near}: {back.received} of {back.sent} answered")
        if out.received != out.sent or back.received != back.sent:
            raise CommandFailed(f"echo requests were lost:\n{out.output}{back.output}")
    return samples


def decode(samples: list[bytes]) -> None:
    """The captured frames, header by header, from a capture file as tcpdump would write it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "wire.pcap")
        header = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
        records = [struct.pack("=IIII", int(time.time()), 0, len(frame), len(frame)) + frame for frame in samples]
        path.write_bytes(header + b"".join(records))
        print("# gutctl decode wire.pcap")
        print(gutctl("decode", str(path)), end="", flush=True)


def streams(hosts: Nat) -> None:
    """A TCP stream each way and beside the tunnels, compared by its hash."""
    for host, devices in ((hosts.a, ["eth0"]), (hosts.r, ["inside", "outside"]), (hosts.b, ["eth0"])):
        for device in devices:
            host.run("ethtool", "-K", device, *OFFLOADS_ON)
    for label, source, target, address in (
        ("GUT-less A -> B", hosts.a, hosts.b, "10.9.0.2"),
        ("GUT-less B -> A", hosts.b, hosts.a, "10.9.0.1"),
        ("GUE      A -> B", hosts.a, hosts.b, "10.9.1.2"),
        ("no tunnel       ", hosts.a, hosts.b, hosts.b4),
    ):
        done = tcp_transfer(source, target, address, OCTETS)
        if (done.sent, done.sent_hash) != (done.received, done.received_hash):
            raise CommandFailed(f"{label}: the stream arrived changed: {done}")
        rate = done.received * 8 / done.seconds / 1e6
        print(f"{label}  {done.received >> 20} MiB in {done.seconds:4.1f} s = {rate:6.0f} Mbit/s, SHA-256 equal", flush=True)


def story() -> None:
    """All of it, and the modules and namespaces taken away whatever happens."""
    say(f"kernel {os.uname().release}: loading the modules")
    modules.load_needed("udp_tunnel", "ip6_udp_tunnel", "ipip", "sit", "ip6_tunnel", "veth", "nft_chain_nat", "nft_masq")
    loaded_here = not modules.loaded()
    if loaded_here:
        modules.load()
    load()
    net = Stage()
    try:
        say("hosts and wires")
        hosts = lay_out(net)
        print(PICTURE)
        say("two tunnels, four commands")
        add_tunnels()
        say("echo requests, both ways")
        samples = pings(hosts)
        say("one packet of each tunnel, as it left the router: the address is the router's, not A's")
        decode(samples)
        say("TCP through them (the wires' offloads now on); in an emulated machine this says little about speed")
        streams(hosts)
        say("counters")
        show("-n demo-a tunnel list --stats")
        show("-n demo-b stats")
        say("taking it away")
        for host, name in (("demo-a", "west"), ("demo-a", "gw"), ("demo-b", "east"), ("demo-b", "ge")):
            show(f"-n {host} tunnel del {name}")
    finally:
        net.close()
        if loaded_here:
            modules.unload()


def main() -> int:
    try:
        story()
    except (CommandFailed, CommandError, AssertionError, OSError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
