# SPDX-License-Identifier: Apache-2.0
"""Namespaces and the module go while packets are on their way: the topology and the traffic are those of underway.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address

import leftovers
import modules
import pytest
from net import Net
from rawnl import RawNetlink, Refused, key, n, u8, u16, u32
from traffic import Capture, tcp_transfer, wait_until
from underway import A4, B4, DATA, REFERENCES, Way, flood, once_with

from gutctl.model import Link
from gutctl.netlink import Kernel


@pytest.fixture
def way(net: Net, gutless: None) -> Iterator[Way]:
    made = Way(net)
    yield made
    made.close()


@pytest.mark.parametrize("gone", ["a", "b"], ids=["sender", "receiver"])
def test_a_namespace_goes_under_traffic(gutless: None, gone: str) -> None:
    """Three times, with ports, links and packets in it; nothing is left of it, and the module is used by nobody."""
    once_with(gone)
    before = leftovers.held()
    for _ in range(3):
        once_with(gone)
    leftovers.wait_for_none(before, 400, 1024, 30)
    assert REFERENCES.read_text().strip() == "0"


def test_ports_come_and_go_under_traffic(way: Way) -> None:
    """Deleted, made, changed in a loop while packets come in; afterwards all is as it was."""
    with flood(way.c):
        way.wait_flow()
        for round_ in range(150):
            for family in (4, 6):
                way.netlink.do("PORT_SET", key(6080, family), u32("A_PORT_ACCEPT", 2 << round_ % 3))
                way.netlink.do("PORT_DEL", key(6080, family))
                way.netlink.do("PORT_ADD", key(6080, family), u8("A_PORT_ANY_SOURCE", round_ % 2))
        for family in (4, 6):
            way.netlink.do("PORT_SET", key(6080, family), u8("A_PORT_ANY_SOURCE", 1))
        way.wait_flow()


def test_profiles_come_and_go_under_traffic(way: Way) -> None:
    """A link whose profile comes, changes and goes sends or drops; nothing leaves any other way."""
    way.far.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", 1), u8("A_PROFILE_FORMAT", 3))
    with Kernel(way.a.name) as kernel:
        kernel.link_set("t4", up=False)
        kernel.link_change(Link("t4", "sit", ip_address(A4), ip_address(B4), 5, 1 << 3, 0, 6080, ttl=64))
    way.a.ip("link set t4 up", "route add 10.9.0.0/24 dev t4")
    plain = Capture(way.b, "eth0", lambda frame: frame[12:14] == b"\x08\x00" and frame[23] != 17, outgoing=False)
    with plain, flood(way.c):
        way.wait_flow()
        for round_ in range(100):
            way.far.do("PROFILE_SET", u16("A_PROFILE_NUMBER", 1), u8("A_PROFILE_CSUM", 1 + round_ % 2))
            way.far.do("PROFILE_DEL", u16("A_PROFILE_NUMBER", 1))
            if not round_ % 20:
                time.sleep(0.02)  # some packets find none
            way.far.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", 1), u8("A_PROFILE_FORMAT", 2 + round_ % 2))
        way.wait_flow()
    assert plain.frames == []
    lost = way.a.counter("t4", "tx_dropped") + way.a.counter("t4", "tx_errors")
    assert lost > 0, "no packet came upon a missing profile"


def test_the_module_goes_under_traffic(way: Way) -> None:
    """rmmod is never refused; links left behind drop, and nothing of them leaves; loaded again, it starts empty and works.

    Three times, with both families on their way, in and out, and replies going back.
    """
    # the capture ends when it has seen all, so after the flood
    with Capture(way.b, "eth0", is_traffic, outgoing=False) as seen, flood(way.c):
        way.wait_flow()
    assert {frame[12:14] for frame in seen.frames} == {b"\x08\x00", b"\x86\xdd"}, "the flood is not known on its way"
    for round_ in range(3):
        way.netlink.do("PROFILE_ADD", u8("A_PROFILE_FORMAT", 3))
        with flood(way.c):
            way.wait_flow()
            assert REFERENCES.read_text().strip() == "0", "ports and links hold the module"
            started = time.monotonic()
            modules.unload()
            assert time.monotonic() - started < 30
            assert not modules.loaded()
            time.sleep(0.1)  # what left before has come in
            dropped = {name: way.a.counter(name, "tx_errors") + way.a.counter(name, "tx_dropped") for name in ("t4", "t6")}
            with Capture(way.b, "eth0", is_traffic, outgoing=False) as capture:
                wait_until(
                    lambda dropped=dropped: all(  # type: ignore[misc]
                        way.a.counter(name, "tx_errors") + way.a.counter(name, "tx_dropped") > count + 50
                        for name, count in dropped.items()
                    ),
                    20,
                    "links that drop",
                )
            assert capture.frames == [], f"round {round_}: left without an encapsulation, or with one that nobody made"
            with pytest.raises((StopIteration, OSError)):
                way.b.call(RawNetlink)
            for old in (way.netlink, way.far):
                old.close()
            modules.load()
            way.netlink, way.far = way.b.call(RawNetlink), way.a.call(RawNetlink)
            assert way.netlink.state() == way.far.state() == []
            assert not any(way.netlink.do("INFO_GET")[0].first("A_INFO_PORTS") or b"\1")
            way.open()
            way.wait_flow()


def is_traffic(frame: bytes) -> bool:
    """Whatever carries, or is, what c sends, by its data; a host says things of its own as well, groups that it joins for instance."""
    return DATA in frame


def test_the_module_goes_again_and_again(gutless: None, net: Net) -> None:
    """Loaded and unloaded eight times with ports and profiles in two namespaces: nothing is left."""
    hosts = [net.host("one"), net.host("two")]

    def once() -> None:
        for host in hosts:
            netlink = host.call(RawNetlink)
            for number in range(6000, 6020):
                netlink.do("PORT_ADD", key(number), u8("A_PORT_ANY_SOURCE", 1))
                netlink.do("PORT_ADD", key(number, 6), u8("A_PORT_ANY_SOURCE", 1))
                netlink.do("PROFILE_ADD", u8("A_PROFILE_FORMAT", 3))
            netlink.close()
        modules.unload()
        assert not modules.loaded()
        modules.load()

    once()
    before = leftovers.held()
    for _ in range(8):
        once()
    # a leak of one object a port is 640, of one a profile 320
    leftovers.wait_for_none(before, 200, 1024, 30)


def test_parameters_at_loading(gutless: None, net: Net) -> None:
    """They hold from the first request on."""
    modules.unload()
    modules.load("max_ports=1", "max_sources=0", "unprivileged=1")
    try:
        netlink = net.host("parameters").call(RawNetlink)
        info = netlink.do("INFO_GET")[0]
        assert info.first("A_INFO_MAX_PORTS") == b"\1\0\0\0"
        assert info.first("A_INFO_MAX_SOURCES") == bytes(4)
        assert info.first("A_INFO_UNPRIVILEGED") == b"\1"
        netlink.do("PORT_ADD", key(7))
        with pytest.raises(Refused, match="max_ports"):
            netlink.do("PORT_ADD", key(8))
        netlink.close()
    finally:
        modules.unload()
        modules.load()


def test_a_port_goes_while_packets_are_being_merged(net: Net, gutless: None) -> None:
    """A TCP stream through a port that is deleted and made again, as FOU and as not, in the middle of merging: it arrives whole.

        a eth0 ---- eth0 b      a's t4 sends plain IPv4 in UDP, which either kind of port takes
    """
    a, b = net.host("a"), net.host("b")
    net.link(a, b, [f"{A4}/24"], [f"{B4}/24"], names=("eth0", "eth0"))
    a.run("ethtool", "-K", "eth0", "gso", "off", "tso", "off")
    b.run("ethtool", "-K", "eth0", "gro", "on")
    netlink = b.call(RawNetlink)
    back = a.call(RawNetlink)
    for host, ends, inner in ((a, (A4, B4), "10.9.0.2/24"), (b, (B4, A4), "10.9.0.1/24")):
        with Kernel(host.name) as kernel:
            kernel.link_add(Link("t4", "ipip", ip_address(ends[0]), ip_address(ends[1]), 4, 1, 0, 6080, ttl=64))
        host.ip(f"addr add {inner} dev t4", "link set t4 up")
    any_source = u8("A_PORT_ANY_SOURCE", 1)
    fou = u32("A_PORT_ACCEPT", n("ACCEPT_FOU")) + u8("A_PORT_FOU_PROTOCOL", 4)
    back.do("PORT_ADD", key(6080), any_source)
    netlink.do("PORT_ADD", key(6080), any_source)
    done = []

    def transfer() -> None:
        done.append(tcp_transfer(a, b, "10.9.0.1", octets=4 << 20, timeout=90))

    thread = threading.Thread(target=transfer, daemon=True)
    rounds = 0
    with Capture(b, "t4", lambda packet: len(packet) > 1500, outgoing=False) as merged:
        thread.start()
        while thread.is_alive():
            wait_until(
                lambda: netlink.counters(key(6080))["packets"] > 30 or not thread.is_alive(), 30, "the stream"
            )  # fmt: skip
            netlink.do("PORT_DEL", key(6080))
            netlink.do("PORT_ADD", key(6080), any_source, fou if rounds % 2 else b"")
            rounds += 1
        thread.join()
    assert done, "the stream did not end well"
    assert (done[0].received, done[0].received_hash) == (done[0].sent, done[0].sent_hash)
    assert rounds > 5
    assert merged.frames, "nothing was merged"
    netlink.close()
    back.close()
