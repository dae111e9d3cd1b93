# SPDX-License-Identifier: Apache-2.0
"""The harness itself, proven on the kernel's own fou: what the other tests lean on does work, and does fail when it should.

    a eth0 ------------------------ eth0 b
      198.51.100.1             198.51.100.2
      2001:db8::1               2001:db8::2
      tun 10.9.0.1 == ipip/fou == tun 10.9.0.2     UDP 5555
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import kernel_log
import pytest
from kernel_log import KernelLog
from net import CommandError, Net
from topology import Pair, ecmp, nat, pair
from traffic import Capture, assert_ping, assert_tcp, ping, wait_until


def fou_tunnel(made: Pair) -> None:
    for host, local, remote, inner in ((made.a, made.a4, made.b4, "10.9.0.1"), (made.b, made.b4, made.a4, "10.9.0.2")):
        host.ip(
            "fou add port 5555 ipproto 4",
            f"link add tun type ipip local {local} remote {remote} encap fou encap-sport auto encap-dport 5555 encap-csum",
            "link set tun up",
            f"addr add {inner}/30 dev tun",
        )


def is_udp_5555(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == (5555).to_bytes(2, "big")


def test_hosts_answer_both_families(net: Net) -> None:
    made = pair(net)
    assert_ping(made.a, made.b4)
    assert_ping(made.b, made.a6)


def test_lost_echo_is_seen(net: Net) -> None:
    made = pair(net)
    made.b.ip("link set eth0 down")
    assert ping(made.a, made.b4, count=1, wait=0.5).received == 0
    with pytest.raises(AssertionError):
        assert_ping(made.a, made.b4, 1)


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads", "plain"])
def test_tunnel_ping_capture_and_stream(net: Net, offloads: bool) -> None:
    made = pair(net, offloads=offloads)
    fou_tunnel(made)
    with Capture(made.b, "eth0", is_udp_5555, outgoing=False) as seen:
        assert_ping(made.a, "10.9.0.2", 3)
        assert len(seen.wait(3)) == 3
    # Ethernet, IPv4, UDP, then the inner IPv4 header at once: that is what FOU means
    assert all(frame[42] == 0x45 and frame[51] == 1 for frame in seen.frames)
    with Capture(made.b, "eth0", is_udp_5555, outgoing=False) as seen:
        assert_tcp(made.a, made.b, "10.9.0.2", 2 << 20)
    longest = max(len(frame) for frame in seen.frames)
    assert (longest > 1514) == offloads, f"longest frame on the wire {longest}"


def test_command_errors_tell_the_line(net: Net) -> None:
    host = net.host()
    with pytest.raises(CommandError, match="link set nothing up"):
        host.ip("link set lo up", "link set nothing up")


def test_sockets_belong_to_their_host(net: Net) -> None:
    made = pair(net)
    with made.a.udp(made.a4, 4000) as a, made.b.udp(made.b4, 4000) as b:
        a.sendto(b"there", (made.b4, 4000))
        assert b.recvfrom(100) == (b"there", (made.a4, 4000))
        b.sendto(b"back", (made.a4, 4000))
        assert a.recv(100) == b"back"
        with pytest.raises(OSError):
            made.a.udp(made.b4, 4001)
    assert made.b.counter("eth0", "rx_packets") > 0


def test_nat_router_rewrites(net: Net) -> None:
    made = nat(net, masquerade="meta l4proto udp masquerade to :40000-40999")
    with made.a.udp(made.a4, 6080) as a, made.b.udp(made.b4, 6080) as b:
        a.sendto(b"out", (made.b4, 6080))
        data, source = b.recvfrom(100)
        assert data == b"out" and source[0] == made.outside4 and 40000 <= source[1] <= 40999
        b.sendto(b"in", source)
        assert a.recvfrom(100) == (b"in", (made.b4, 6080))


@pytest.mark.parametrize("version", [4, 6])
def test_two_paths_are_both_used(net: Net, version: int) -> None:
    made = ecmp(net)
    source, target = made.ends(version)
    with made.b.udp(target, 7000) as receiver:

        def burst(ports: range) -> tuple[int, int]:
            before = made.sent()
            for port in ports:
                with made.a.udp(source, port) as sender:
                    sender.sendto(b"x", (target, 7000))
                    receiver.recv(10)
            after = made.sent()
            return after[0] - before[0], after[1] - before[1]

        assert_ping(made.a, target)
        spread = burst(range(20000, 20064))
        assert min(spread) >= 10, f"64 flows went {spread}"
    # one flow stays on one path; a stray neighbour message may pass on the other
    with made.b.udp(target, 7000) as receiver, made.a.udp(source, 21000) as sender:
        before = made.sent()
        for _ in range(50):
            sender.sendto(b"y", (target, 7000))
            receiver.recv(10)
        after = made.sent()
        assert min(after[0] - before[0], after[1] - before[1]) < 5


@pytest.mark.parametrize("line", ["WARNING: test", "BUG: test", "Call Trace:", "unreferenced object 0x1 (size 8):"])
def test_kernel_complaints_are_seen(watched_log: KernelLog, line: str) -> None:
    watched_log.new()
    kernel_log.write(line)
    assert kernel_log.bad(watched_log.new()) == [line]
    kernel_log.write("all is well")
    lines = watched_log.new()
    assert "all is well" in lines and not kernel_log.bad(lines)


INNER = """
import kernel_log

def test_quiet():
    kernel_log.write("all is well")

def test_loud():
    kernel_log.write("WARNING: test")
"""


def test_a_complaint_fails_the_test_that_caused_it(watched_log: KernelLog) -> None:
    inner = Path(__file__).with_name("test_inner_generated.py")
    inner.write_text(INNER)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(inner)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        inner.unlink()
    assert kernel_log.bad(watched_log.new()) == ["WARNING: test"]
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ERROR at teardown of test_loud" in done.stdout and "the kernel complained" in done.stdout
    assert "test_quiet" not in done.stdout and "2 passed, 1 error" in done.stdout


def test_waiting_ends() -> None:
    with pytest.raises(AssertionError, match="never true"):
        wait_until(lambda: False, 0.1, "never true")


def test_host_goes_away(net: Net) -> None:
    host = net.host()
    path = host.path
    host.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    net.close()
    assert not path.exists()
