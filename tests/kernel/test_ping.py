# SPDX-License-Identifier: Apache-2.0
"""``gutctl ping`` and gutctl.control between two kernels: over a wire, through a NAT, against nobody.

      a ---- wire ---- b            a ---- r (masquerades) ---- b
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from asking import limits, request
from net import Host, Net
from tool import gutctl, ok
from topology import Nat, Pair, nat, pair
from traffic import wait_until

from gutctl.control import NoReply, Ping, Reply, Reported, Unheard
from gutctl.encap import ECHO_REPLY, Echo, Gutless, Report, decode, encode
from gutctl.model import PortKey
from gutctl.netlink import Kernel

UNDERSTOOD = ["observed-address", "understood", "remote-checksum"]
QUICK = ("--count", 3, "--interval", 0.05, "--timeout", 30)


@pytest.fixture(scope="module", autouse=True)
def unlimited(gutless: None) -> Iterator[None]:
    with limits(1_000_000, 1_000_000):
        yield


@pytest.fixture(scope="module")
def ends(module_net: Net, gutless: None) -> Pair:
    """Both have a port for the other, over IPv4 and IPv6."""
    made = pair(module_net)
    for host, four, six in ((made.a, made.b4, made.b6), (made.b, made.a4, made.a6)):
        ok(gutctl("port", "add", 6080, "--from", four, netns=host))
        ok(gutctl("port", "add", 6080, "--from", six, netns=host))
    return made


@pytest.mark.parametrize("version", [4, 6])
def test_two_kernels(ends: Pair, version: int) -> None:
    near, far = ends.ends(version)
    said = ok(gutctl("ping", far, *QUICK, netns=ends.a))
    head, *lines, counts, times, understood, seen = said.out.splitlines()
    assert head.startswith("PING ") and head.endswith("from port 6080/udp, 56 octets of data")
    assert [line.split(" time=")[0] for line in lines] == [f"56 octets from {far}: seq={n}" for n in (1, 2, 3)]
    assert counts == "3 sent, 3 received, 0 % loss"
    least, mean, most = (float(word) for word in times.removeprefix("round trip min/avg/max ").removesuffix(" ms").split("/"))
    assert 0 < least <= mean <= most
    assert understood == f"options understood: {', '.join(UNDERSTOOD)}"
    assert seen == f"sees us at {f'[{near}]' if version == 6 else near}:6080"


def test_json(ends: Pair) -> None:
    said = ok(gutctl("ping", f"{ends.b4}:6080", *QUICK, "--size", 3, netns=ends.a, json=True))
    *replies, last = map(json.loads, said.out.splitlines())
    assert [(one["event"], one["sequence"], one["octets"]) for one in replies] == [("reply", n, 3) for n in (1, 2, 3)]
    told = last["ping"]
    assert (told["sent"], told["received"], told["loss_percent"]) == (3, 3, 0)
    assert [one["name"] for one in told["understood"]] == UNDERSTOOD
    assert told["observed"] == {"address": ends.a4, "port": 6080}
    assert told["round_trip_ms"]["min"] <= told["round_trip_ms"]["avg"] <= told["round_trip_ms"]["max"]


@pytest.mark.parametrize("size", [0, 1, 11, 1400, 3000, 16380])
def test_sizes(ends: Pair, size: int) -> None:
    said = ok(gutctl("ping", ends.b6, "--count", 1, "--timeout", 30, "--size", size, netns=ends.a, json=True))
    reply = json.loads(said.out.splitlines()[0])
    assert (reply["octets"], reply["damaged"]) == (size, False)


def test_a_tunnel_by_its_name(net: Net) -> None:
    made = pair(net)
    for host, local, remote, inner in ((made.a, made.a4, made.b4, "10.9.0.1/24"), (made.b, made.b4, made.a4, "10.9.0.2/24")):
        ok(gutctl("tunnel", "add", "west", "--remote", remote, "--local", local, "--port", 7001, "--address", inner, netns=host))
    said = ok(gutctl("ping", "west", *QUICK, netns=made.a, json=True))
    told = json.loads(said.out.splitlines()[-1])["ping"]
    assert (told["peer"], told["peer_port"], told["port"], told["tunnel"], told["received"]) == (made.b4, 7001, 7001, "west", 3)


def test_through_a_nat(net: Net) -> None:
    """The reply finds its way back to a port that the NAT chose, and tells us which."""
    made: Nat = nat(net, offloads=False, masquerade="meta l4proto udp masquerade to :40000-40999")
    ok(gutctl("port", "add", 6080, "--any-source", netns=made.b))
    ok(gutctl("port", "add", 6080, "--from", made.b4, netns=made.a))
    told = json.loads(ok(gutctl("ping", made.b4, *QUICK, netns=made.a, json=True)).out.splitlines()[-1])["ping"]
    assert told["received"] == 3
    assert told["observed"]["address"] == made.outside4
    assert 40000 <= told["observed"]["port"] <= 40999
    # and large ones, in fragments both ways
    ok(gutctl("ping", made.b4, "--count", 1, "--timeout", 30, "--size", 4000, netns=made.a))


def test_link_local(net: Net) -> None:
    made = pair(net)
    for host, own, other in ((made.a, "fe80::a", "fe80::b"), (made.b, "fe80::b", "fe80::a")):
        host.ip(f"addr add {own}/64 dev eth0 nodad")
        ok(gutctl("port", "add", 6080, "-6", "--from", other, netns=host))
    said = ok(gutctl("ping", "fe80::b%eth0", *QUICK, netns=made.a, json=True))
    assert json.loads(said.out.splitlines()[-1])["ping"]["observed"] == {"address": "fe80::a", "port": 6080}


def test_nobody_answers(ends: Pair) -> None:
    """Exit status 1, and all the loss there is; every request is said to be without a reply."""
    said = gutctl("ping", f"{ends.b4}:9", "--count", 2, "--interval", 0.05, "--timeout", 0.3, netns=ends.a)
    assert said.code == 1
    assert said.out.splitlines()[1:] == [
        f"no reply from {ends.b4}: seq=1",
        f"no reply from {ends.b4}: seq=2",
        "2 sent, 0 received, 100 % loss",
    ]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("nowhere",), 5, "there is no tunnel nowhere"),
        (("203.0.113.1",), 5, "no port over IPv4 lets 203.0.113.1 in"),
        (("198.51.100.2", "--port", 7), 5, "there is no port 7/udp over IPv4 to ask from"),
        (("224.0.0.1",), 2, "224.0.0.1"),
        (("198.51.100.2:0",), 2, "port"),
        (("198.51.100.2", "--size", 16381), 2, "16380"),
        (("198.51.100.9", "--port", 6080), 3, "does not let 198.51.100.9 in"),
    ],
)
def test_refusals(ends: Pair, words: tuple[object, ...], code: int, sentence: str) -> None:
    said = gutctl("ping", *words, "--count", 1, netns=ends.a)
    assert (said.code, sentence in said.err) == (code, True), said


def test_interrupted(ends: Pair) -> None:
    """Ctrl-C ends it with the statistics, and the status is that of what came so far."""
    root = Path(__file__).resolve().parents[2]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]), PYTHONUNBUFFERED="1")
    command = [sys.executable, "-c", "from gutctl.cli import main; main()", "-n", ends.a.name, "ping", ends.b4, "-i", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as running:
        assert running.stdout is not None
        while "seq=2" not in (line := running.stdout.readline()):
            assert line, running.stderr.read() if running.stderr else ""
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert " % loss" in out
    assert "round trip min/avg/max" in out
    assert err == ""


class Peer(threading.Thread):
    """A plain UDP socket that answers each request as `answer` says."""

    def __init__(self, host: Host, address: str, answer: object) -> None:
        super().__init__(daemon=True)
        self.socket = host.udp(address, timeout=0.1)
        self.answer = answer
        self.ended = False
        self.start()

    def run(self) -> None:
        while not self.ended:
            try:
                payload, where = self.socket.recvfrom(1 << 16)
            except TimeoutError:
                continue
            for one in self.answer(payload):  # type: ignore[operator]
                self.socket.sendto(one, where)

    def close(self) -> None:
        self.ended = True
        self.join(60)
        self.socket.close()


def ask(ends: Pair, answer: object, count: int = 2, timeout: float = 1.0) -> tuple[list[Reply | NoReply | Reported | Unheard], Ping]:
    peer = Peer(ends.b, ends.b4, answer)
    with Kernel(ends.a.name) as kernel:
        with Ping(kernel, PortKey(4, 6080), ip_address(ends.b4), peer.socket.getsockname()[1]) as asked:
            found = list(asked.run(count, interval=0.05, timeout=timeout))
        peer.close()
        return found, asked


def reply(payload: bytes, **change: object) -> bytes:
    echo = decode(payload).payload
    body = Echo(int.from_bytes(echo[:2], "big"), int.from_bytes(echo[2:4], "big"), echo[4:])
    values = {"id": body.id, "sequence": body.sequence, "data": body.data, **change}
    return encode(Gutless(ECHO_REPLY, control=True), Echo(**values).encode())  # type: ignore[arg-type]


def test_a_peer_that_knows_no_options(ends: Pair) -> None:
    found, asked = ask(ends, lambda payload: [reply(payload)])
    assert [(one.sequence, one.understood, one.observed) for one in found if isinstance(one, Reply)] == [(1, None, None), (2, None, None)]
    assert asked.summary().understood is None


def test_duplicates_and_damage(ends: Pair) -> None:
    found, asked = ask(ends, lambda payload: [reply(payload), reply(payload, data=b"other")], count=3)
    replies = [one for one in found if isinstance(one, Reply)]
    # the second of the last may come when nobody asks any more
    assert {(one.sequence, one.duplicate, one.damaged) for one in replies} >= {(1, False, False), (1, True, True), (2, True, True)}
    summary = asked.summary()
    assert (summary.sent, summary.received, summary.lost) == (3, 3, 0.0)
    assert summary.duplicates >= 2


def test_answers_to_somebody_else(ends: Pair) -> None:
    """Another id, a sequence that was never sent, no echo: they count for nothing."""

    def answer(payload: bytes) -> list[bytes]:
        echo = decode(payload).payload
        return [reply(payload, id=int.from_bytes(echo[:2], "big") ^ 1), reply(payload, sequence=999), encode(Gutless(2, control=True), bytes(4))]

    found, asked = ask(ends, answer, timeout=0.5)
    assert found == [NoReply(1), NoReply(2)]
    assert asked.summary().lost == 1.0


def test_every_other_is_lost(ends: Pair) -> None:
    count = iter(range(100))
    _, asked = ask(ends, lambda payload: [reply(payload)] if next(count) % 2 else [], count=6)
    summary = asked.summary()
    assert (summary.sent, summary.received, summary.lost) == (6, 3, 0.5)


def test_a_report_is_shown(ends: Pair) -> None:
    quote = bytes.fromhex("8104 0000 9e020000")
    report = encode(Gutless(3, control=True), Report(1, 4, quote).encode())
    found, _ = ask(ends, lambda payload: [report, reply(payload)], count=1)
    assert [one for one in found if isinstance(one, Reported)] == [Reported(1, 4, quote)]
    assert Reported(1, 4, quote).option == 0x9E


def test_the_port_goes_meanwhile(net: Net) -> None:
    made = pair(net)
    ok(gutctl("port", "add", 6080, "--any-source", netns=made.a))
    said = {}

    def run() -> None:
        said["end"] = gutctl("ping", made.b4, "-i", 0.05, netns=made.a)

    thread = threading.Thread(target=run)
    # redirected output is the process's: nothing else may print meanwhile
    thread.start()
    with made.b.udp(made.b4, 6080) as peer:
        assert peer.recv(2048)
    with Kernel(made.a.name) as kernel:
        kernel.port_del(PortKey(4, 6080))
    thread.join(60)
    assert not thread.is_alive()
    assert said["end"].code == 5
    assert "no such port" in said["end"].err


def test_counters_are_shown(ends: Pair) -> None:
    with ends.a.udp(ends.a4) as sender:
        sender.sendto(request(b"?"), (ends.b4, 6080))
        sender.recv(2048)
    text = ok(gutctl("port", "show", 6080, netns=ends.b)).out
    assert "answers" in text
    assert "echo report" in text
    assert "echo requests " in text

    def told() -> bool:
        return bool(ok(gutctl("stats", netns=ends.b, json=True)).data["ports"][0]["stats"]["control"]["echo_requests"])

    wait_until(told, 10, "a counter")
    assert "control  echo requests" in ok(gutctl("stats", netns=ends.b)).out


def test_a_port_told_what_to_answer(net: Net) -> None:
    host = net.host("told")
    ok(gutctl("port", "add", 6080, "--any-source", "--control", "report", netns=host))
    assert ok(gutctl("port", "show", 6080, netns=host, json=True)).data["port"]["answers"] == ["report"]
    # the same again changes nothing; something else is a conflict
    assert "unchanged" in ok(gutctl("port", "add", 6080, "--any-source", "--control", "report", netns=host)).out
    conflict = gutctl("port", "add", 6080, "--any-source", netns=host)
    assert (conflict.code, "--control echo,report" in conflict.err) == (3, True)
    assert gutctl("port", "set", 6080, "--control", "none", "--check", "--diff", netns=host).code == 8
    ok(gutctl("port", "set", 6080, "--control", "none", netns=host))
    assert ok(gutctl("port", "show", 6080, netns=host, json=True)).data["port"]["answers"] == []
    assert gutctl("port", "add", 5555, "--any-source", "--accept", "fou:4", "--control", "echo", netns=host).code == 2
    assert gutctl("port", "set", 6080, "--control", "everything", netns=host).code == 2
