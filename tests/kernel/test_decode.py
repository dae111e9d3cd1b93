# SPDX-License-Identifier: Apache-2.0
"""gutctl decode on packets that a kernel made, read live from tcpdump, as its help says to.

      a                                     b
    +-------------------------+           +--------------------------+
    | in-tree gue, sit and    |           | the same                 |
    | ip6tnl, remote checksum |  eth0  -- | eth0                     |
    | 10.9.0.1/24 fd09::1/64  |           | 10.9.0.2/24 fd09::2/64   |
    +-------------------------+           +--------------------------+

The in-tree module is the one sender of remote checksum offload there is: it judges what decode says of
Linux's private flag.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from net import Host, Net
from topology import Pair, pair
from traffic import assert_ping, assert_tcp, wait_until

ROOT = Path(__file__).resolve().parents[2]


def tunnels(wire: Pair, version: int, *flags: str) -> None:
    """The in-tree GUE at both ends, for IPv4 and IPv6 inside, over either."""
    six = "-6" if version == 6 else ""
    checksum = "encap-udp6-csum" if version == 6 else "encap-csum"
    kind = "type ip6tnl mode any" if version == 6 else "type sit mode any"
    more = "hoplimit 64 encaplimit none" if version == 6 else "ttl 64"
    one, other = wire.ends(version)
    for number, (host, local, remote) in enumerate([(wire.a, one, other), (wire.b, other, one)], 1):
        host.ip(
            f"fou add port 6080 gue {six}".strip(),
            f"link add tun {kind} local {local} remote {remote} {more} "
            f"encap gue encap-sport auto encap-dport 6080 {checksum} {' '.join(flags)}",
            f"addr add 10.9.0.{number}/24 dev tun",
            f"addr add fd09::{number}/64 dev tun nodad",
            "link set tun up",
        )


@contextmanager
def decoded(host: Host, device: str) -> Iterator[list[dict[str, Any]]]:
    """tcpdump -w - | gutctl decode -: the records so far, each of which came alone, as soon as it was there."""
    command = ["tcpdump", "-n", "-i", device, "-U", "-w", "-", "udp port 6080"]
    dump = host.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert dump.stdout and dump.stderr
    tool = subprocess.Popen(
        [sys.executable, "-c", "from gutctl.cli import main; main()", "decode", "--json", "-"],
        stdin=dump.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])),
    )
    assert tool.stdout and tool.stderr
    lines, out, records = dump.stderr, tool.stdout, list[dict[str, Any]]()
    ready = threading.Event()

    def say() -> None:
        for line in lines:
            if b"listening on" in line:
                ready.set()

    def read() -> None:
        records.extend(json.loads(line) for line in iter(out.readline, b""))

    threads = [threading.Thread(target=target, daemon=True) for target in (say, read)]
    for thread in threads:
        thread.start()
    try:
        assert ready.wait(20), "tcpdump did not begin to listen"
        yield records
    finally:
        dump.terminate()
        dump.stdout.close()
        said = tool.stderr.read()
        for process in (dump, tool):
            process.wait(20)
        for thread in threads:
            thread.join(20)
    assert tool.returncode == 0, said.decode()
    assert not said, said.decode()


def kinds(record: dict[str, Any]) -> list[str]:
    """Its headers behind the link's."""
    found = [layer["header"] for layer in record["layers"]]
    return found[1:] if found[0] in ("ethernet", "cooked") else found


def states(record: dict[str, Any]) -> set[str]:
    return {layer["checksum_state"] for layer in record["layers"] if "checksum_state" in layer}


def inner(record: dict[str, Any]) -> dict[str, Any]:
    layer: dict[str, Any] = record["layers"][-1]
    return layer


def stream_ends(records: list[dict[str, Any]], version: int = 4) -> None:
    """Wait until the end of a TCP stream over inner IP of a version has been decoded."""

    def ended() -> bool:
        return any(
            kinds(record)[-2:] == [f"ipv{version}", "tcp"] and "FIN" in inner(record)["flags"] for record in list(records)
        )

    wait_until(ended, seconds=30, what="FIN decoded")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("device", "link"), [("eth0", "ethernet"), ("any", "cooked2"), ("tun", "raw")])
def test_packets_on_the_wire(net: Net, version: int, device: str, link: str) -> None:
    """Every packet of pings and of a stream is taken apart to its end, and every checksum is right."""
    wire = pair(net, offloads=False)
    tunnels(wire, version)
    for host in (wire.a, wire.b):
        host.offloads_off("tun")
    if device == "tun":
        # inside the tunnel there is nothing of ours: UDP to that port, in the clear
        with decoded(wire.b, device) as records, wire.a.udp() as sender:
            sender.sendto(b"\x00\x3b\x00\x00", ("10.9.0.2", 6080))
            wait_until(lambda: len(records) == 1, seconds=30, what="the datagram decoded")
        # tcpdump reads ip6tnl devices cooked
        assert records[0]["link"] == {4: link, 6: "cooked"}[version]
        assert kinds(records[0]) == ["ipv4", "udp", "gue0"]
        assert states(records[0]) == {"ok"}
        return
    with decoded(wire.b, device) as records:
        assert_ping(wire.a, "10.9.0.2")
        assert_ping(wire.a, "fd09::2")
        wait_until(lambda: len(records) >= 8, seconds=30, what="pings and answers decoded")
        assert_tcp(wire.a, wire.b, "10.9.0.2", 1 << 16)
        assert_tcp(wire.a, wire.b, "fd09::2", 1 << 16)
        stream_ends(records, 4)
        stream_ends(records, 6)
    assert {record["link"] for record in records} == {link}
    outer = f"ipv{version}"
    assert {tuple(kinds(record)) for record in records} >= {
        (outer, "udp", "gue0", "ipv4", "icmp"),
        (outer, "udp", "gue0", "ipv6", "icmp6"),
        (outer, "udp", "gue0", "ipv4", "tcp"),
        (outer, "udp", "gue0", "ipv6", "tcp"),
    }
    for record in records:
        assert record["problem"] is None, record
        assert states(record) == {"ok"}, record
        assert record["captured"] == record["length"]


def test_remote_checksum_offload_of_linux(net: Net) -> None:
    """The private flag and its field say where the checksum goes, and it is told from a bad one."""
    wire = pair(net, offloads=False)
    # the tunnel itself may leave the inner checksum to others: to the receiver
    tunnels(wire, 4, "encap-remcsum")
    for host in (wire.a, wire.b):
        host.run("ethtool", "-K", "tun", "gso", "off", "tso", "off")
    with decoded(wire.b, "eth0") as records:
        assert_tcp(wire.a, wire.b, "10.9.0.2", 1 << 16)
        stream_ends(records)
    offloaded = [record for record in records if inner(record).get("checksum_state") == "remote"]
    assert offloaded, records[:2]
    for record in offloaded:
        assert record["problem"] is None
        assert kinds(record) == ["ipv4", "udp", "gue0", "ipv4", "tcp"]
        gue = record["layers"][-3]
        assert gue["private_flags"] == {"remote_checksum": {"start": 20, "offset": 36}}
        assert states(record) == {"ok", "remote"}
        assert gue["drop_reason"] is None
    assert all(states(record) <= {"ok", "remote"} for record in records)


def test_checksums_left_to_the_sending_device(net: Net) -> None:
    """Captured where they are sent, with offloads on: not yet made, which is no damage."""
    wire = pair(net, offloads=True)
    tunnels(wire, 4)
    with decoded(wire.a, "eth0") as records:
        assert_tcp(wire.a, wire.b, "10.9.0.2", 1 << 18)
        stream_ends(records)
    assert any("partial" in states(record) for record in records)
    for record in records:
        assert record["problem"] is None, record
        assert states(record) <= {"ok", "partial"}, record
