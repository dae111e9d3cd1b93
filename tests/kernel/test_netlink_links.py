# SPDX-License-Identifier: Apache-2.0
"""Links, addresses and routes through the door.

    red                                   blue
  +---------------------+   veth   +---------------------+
  | eth0 192.0.2.1/24   |----------| eth0 192.0.2.2/24   |
  |      2001:db8::1/64 |          |      2001:db8::2/64 |
  +---------------------+          +---------------------+

ip(8) is the second opinion on what is there.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import modules
import pytest
from net import Host, Net

from gutctl.errors import ConflictError, GutctlError, NotFoundError, UnsupportedError, UsageError
from gutctl.model import Link
from gutctl.netlink import Kernel

V4, V6 = ip_address("192.0.2.2"), ip_address("2001:db8::2")
LOCAL = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}
KINDS = [("sit", 4), ("ipip", 4), ("ip6tnl", 6), ("gre", 4), ("gretap", 4), ("ip6gre", 6), ("ip6gretap", 6)]


@pytest.fixture
def red(gutless: None, net: Net) -> Host:
    red, blue = net.host("red"), net.host("blue")
    net.link(red, blue, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"])
    return red


@pytest.fixture
def blue(red: Host, net: Net) -> Host:
    return net.hosts[1]


@pytest.fixture
def kernel(red: Host) -> Iterator[Kernel]:
    with Kernel(red.name) as made:
        yield made


def shown(host: Host, name: str) -> Any:
    """What ip(8) says of a link."""
    (link,) = json.loads(host.run("ip", "-d", "-j", "addr", "show", "dev", name).stdout)
    return link


def same(link: Link, asked: Link) -> None:
    """Equal in all that can be asked for; the kernel adds what it knows besides."""
    known: dict[str, Any] = dict.fromkeys(
        ("mtu", "ifindex", "rx_packets", "rx_octets", "tx_packets", "tx_octets", "tx_dropped"), 0
    )
    assert replace(link, **known) == replace(asked, **known)
    assert link.ifindex > 0
    if asked.mtu is not None:
        assert link.mtu == asked.mtu


def tunnel(kind: str, family: int, **changes: Any) -> Link:
    made = Link("west", kind, LOCAL[family], V4 if family == 4 else V6, 4, 3 << 3 | 1, 0, 6080, ttl=64)
    return replace(made, **changes)


@pytest.mark.parametrize(("kind", "family"), KINDS)
def test_a_link_of_each_kind_comes_back(kernel: Kernel, red: Host, kind: str, family: int) -> None:
    asked = tunnel(kind, family, encap_sport=4242, mtu=1400, alias="gutless port=6080", device=kernel.device("eth0"))
    kernel.link_add(asked)
    link = kernel.link("west")
    assert link is not None
    same(link, asked)
    assert [found for found in kernel.links() if found.name == "west"] == [link]
    told = shown(red, "west")
    assert (told["linkinfo"]["info_kind"], told["mtu"], told["ifalias"]) == (kind, 1400, "gutless port=6080")
    assert "UP" not in told["flags"]
    data = told["linkinfo"]["info_data"]
    assert data["encap"]["dport"] == 6080
    assert data["encap"]["sport"] == 4242
    assert (data["remote"], data["local"]) == (str(asked.remote), str(asked.local))
    kernel.link_del("west")
    assert kernel.link("west") is None


@pytest.mark.parametrize(("kind", "family"), KINDS)
def test_the_least_that_a_link_can_say(kernel: Kernel, kind: str, family: int) -> None:
    asked = tunnel(kind, family, local=None, ttl=0, tos=1, encap_type=5, encap_flags=0)
    kernel.link_add(asked)
    link = kernel.link("west")
    assert link is not None
    same(link, asked)
    assert link.mtu is not None
    # 8 octets of UDP and the 4 of the base header have been counted
    assert link.mtu <= 1500 - 20 - 12


@pytest.mark.parametrize(("kind", "protocol"), [("sit", 41), ("sit", 4), ("ipip", 4), ("ip6tnl", 4), ("ip6tnl", 41)])
def test_a_link_for_one_protocol(kernel: Kernel, kind: str, protocol: int) -> None:
    kernel.link_add(tunnel(kind, 6 if kind == "ip6tnl" else 4, protocol=protocol, tos=0x28, pmtudisc=True))
    link = kernel.link("west")
    assert link is not None
    assert (link.protocol, link.tos) == (protocol, 0x28)


def test_without_path_mtu_discovery(kernel: Kernel) -> None:
    kernel.link_add(tunnel("sit", 4, pmtudisc=False, ttl=0))
    link = kernel.link("west")
    assert link is not None
    assert link.pmtudisc is False


@pytest.mark.parametrize(("kind", "family"), [("sit", 4), ("ip6tnl", 6), ("gretap", 4)])
def test_a_link_is_changed_in_full(kernel: Kernel, kind: str, family: int) -> None:
    first = tunnel(kind, family, tos=1, encap_sport=99)
    kernel.link_add(first)
    before = kernel.link("west")
    assert before is not None
    remote = ip_address("192.0.2.77") if family == 4 else ip_address("2001:db8::77")
    second = replace(first, remote=remote, encap_type=5, encap_sport=0, tos=0, ttl=7, mtu=1300, alias="changed")
    kernel.link_change(second)
    link = kernel.link("west")
    assert link is not None
    same(link, second)
    assert link.ifindex == before.ifindex
    assert len(kernel.links()) == 1


def test_a_name_that_is_taken(kernel: Kernel) -> None:
    kernel.link_add(tunnel("sit", 4))
    link = kernel.link("west")
    for asked in (tunnel("sit", 4, remote=ip_address("192.0.2.9")), tunnel("ipip", 4), tunnel("gretap", 4, name="eth0")):
        with pytest.raises(ConflictError, match=f"link {asked.name}: ") as refusal:
            kernel.link_add(asked)
        assert refusal.value.errno == errno.EEXIST
    assert kernel.link("west") == link
    taken = kernel.link("eth0")
    assert taken is not None
    assert (taken.kind, taken.remote, taken.addresses) == ("veth", None, ("192.0.2.1/24", "2001:db8::1/64"))
    assert "eth0" not in [found.name for found in kernel.links()]


@pytest.mark.parametrize("mtu", [70000, 20])
def test_an_mtu_that_is_refused_leaves_no_link(kernel: Kernel, mtu: int) -> None:
    with pytest.raises(GutctlError, match="link west: ") as refusal:
        kernel.link_add(tunnel("sit", 4, mtu=mtu))
    assert refusal.value.errno == errno.EINVAL
    assert kernel.links() == []


def test_an_encapsulation_that_nobody_has(kernel: Kernel) -> None:
    with pytest.raises(GutctlError, match="link west: ") as refusal:
        kernel.link_add(tunnel("sit", 4, encap_type=7))
    assert refusal.value.errno == errno.EINVAL
    assert kernel.links() == []


def test_a_kind_that_nobody_has(kernel: Kernel) -> None:
    with pytest.raises(UsageError, match="vxlan"):
        kernel.link_add(tunnel("vxlan", 4))


def test_a_link_in_the_kernels_own_words(kernel: Kernel, red: Host) -> None:
    """A link that ip(8) has made with the in-tree encapsulation."""
    encap = "encap gue encap-sport auto encap-dport 5555 encap-csum encap-remcsum"
    red.ip(f"link add east type sit mode ip6ip remote 192.0.2.2 ttl 5 tos inherit {encap}")
    link = kernel.link("east")
    assert link is not None
    assert (link.encap_type, link.encap_flags, link.encap_sport, link.encap_dport) == (2, 5, 0, 5555)
    assert (link.ttl, link.tos, link.protocol) == (5, 1, 41)


def test_settings(kernel: Kernel, red: Host) -> None:
    kernel.link_add(tunnel("sit", 4))
    kernel.link_set("west")
    kernel.link_set("west", mtu=1333, alias="caf\N{LATIN SMALL LETTER E WITH ACUTE}", up=True)
    link = kernel.link("west")
    assert link is not None
    assert (link.mtu, link.alias, link.up) == (1333, "caf\N{LATIN SMALL LETTER E WITH ACUTE}", True)
    assert "UP" in shown(red, "west")["flags"]
    kernel.link_set("west", up=False, alias="")
    link = kernel.link("west")
    assert link is not None
    assert (link.mtu, link.alias, link.up) == (1333, "", False)
    with pytest.raises(GutctlError) as refusal:
        kernel.link_set("west", mtu=70000, alias="never")
    assert refusal.value.errno == errno.EINVAL


def test_what_is_not_there_is_not_found(kernel: Kernel) -> None:
    for call in (
        lambda: kernel.link_del("west"),
        lambda: kernel.link_set("west", mtu=1400),
        lambda: kernel.address_add("west", "10.9.0.1/30"),
        lambda: kernel.address_del("west", "10.9.0.1/30"),
        lambda: kernel.device("west"),
        lambda: kernel.link_change(tunnel("sit", 4)),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert kernel.link("west") is None
    assert kernel.device_name(99999) is None


def test_addresses(kernel: Kernel, red: Host) -> None:
    kernel.link_add(tunnel("sit", 4))
    for address in ("10.9.0.1/30", "fd00::1/64", "169.254.7.1/30"):
        kernel.address_add("west", address)
    kernel.link_set("west", up=True)
    link = kernel.link("west")
    assert link is not None
    # the fe80:: address that came by itself is left out
    assert sorted(link.addresses) == ["10.9.0.1/30", "169.254.7.1/30", "fd00::1/64"]
    assert any(a["local"].startswith("fe80:") for a in shown(red, "west")["addr_info"])
    assert kernel.links() == [link]
    flags = next(a for a in shown(red, "west")["addr_info"] if a["local"] == "fd00::1")
    assert "tentative" not in flags
    assert {ip_address("10.9.0.1"), ip_address("fd00::1"), LOCAL[4]} <= kernel.local_addresses()
    assert V4 not in kernel.local_addresses()
    with pytest.raises(ConflictError, match=r"address 10.9.0.1/30 of west"):
        kernel.address_add("west", "10.9.0.1/30")
    kernel.address_del("west", "10.9.0.1/30")
    with pytest.raises(GutctlError) as refusal:
        kernel.address_del("west", "10.9.0.1/30")
    assert refusal.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(UsageError):
        kernel.address_add("west", "10.9.0.1/33")


@pytest.mark.parametrize("remote", [V4, V6])
def test_the_route_to_a_peer(kernel: Kernel, red: Host, remote: Any) -> None:
    local = LOCAL[remote.version]
    assert kernel.route_mtu(remote) == (1500, "eth0", local)
    red.ip("link set eth0 mtu 1400")
    assert kernel.route_mtu(remote) == (1400, "eth0", local)
    length = 32 if remote.version == 4 else 128
    red.ip(f"route add {remote}/{length} dev eth0 mtu 1350")
    assert kernel.route_mtu(remote) == (1350, "eth0", local)


def test_what_icmp_has_taught_is_known(kernel: Kernel, red: Host, blue: Host) -> None:
    """A router behind blue has a narrow wire: a packet that does not fit teaches red."""
    red.ip("route add 198.51.100.0/24 via 192.0.2.2")
    blue.ip("link add d0 type dummy", "link set d0 mtu 1280 up", "addr add 198.51.100.1/24 dev d0")
    blue.sysctl(ipv4__ip_forward=1)
    remote = ip_address("198.51.100.9")
    assert kernel.route_mtu(remote)[0] == 1500
    red.run("ping", "-c", "1", "-W", "2", "-M", "do", "-s", "1400", str(remote), check=False)
    assert kernel.route_mtu(remote) == (1280, "eth0", LOCAL[4])


def test_the_mark_chooses_the_route(kernel: Kernel, red: Host) -> None:
    red.ip("rule add fwmark 7 table 77", "route add unreachable default table 77")
    assert kernel.route_mtu(V4)[0] == 1500
    with pytest.raises(NotFoundError, match=r"no route to 192\.0\.2\.2"):
        kernel.route_mtu(V4, mark=7)


@pytest.mark.parametrize("remote", ["203.0.113.1", "2001:db8:ffff::1"])
@pytest.mark.parametrize("route", ["", "unreachable", "prohibit", "blackhole"])
def test_no_route(kernel: Kernel, red: Host, remote: str, route: str) -> None:
    if route:
        red.ip(f"route add {route} {remote}")
    with pytest.raises(NotFoundError, match=f"no route to {remote}") as refusal:
        kernel.route_mtu(ip_address(remote))
    assert refusal.value.hint is None


def test_two_dumps_for_many_links(kernel: Kernel, red: Host) -> None:
    for n in range(60):
        kernel.link_add(tunnel("sit", 4, name=f"t{n}", remote=ip_address(f"10.0.0.{n}"), local=None))
        kernel.address_add(f"t{n}", f"10.1.{n}.1/30")
    asked: list[int] = []
    door = kernel._run(lambda session: session.route._door)
    real = door.request

    def counted(message: Any, number: int, flags: int, *rest: Any) -> Any:
        asked.append(number)
        return real(message, number, flags, *rest)

    door.request = counted  # type: ignore[method-assign, assignment]
    links = kernel.links()
    assert [link.addresses for link in links] == [(f"10.1.{n}.1/30",) for n in range(60)]
    assert len(asked) == 2


def test_a_missing_module_is_told(red: Host, net: Net) -> None:
    with Kernel(red.name) as kernel:
        modules.unload()
        try:
            for call in (kernel.info, kernel.ports, kernel.events, lambda: kernel.profile(1)):
                with pytest.raises(UnsupportedError, match="gutless is not loaded") as refusal:
                    call()
                assert refusal.value.hint == "modprobe gutless"
            with pytest.raises(UnsupportedError, match="encapsulation type 4") as refusal:
                kernel.link_add(tunnel("sit", 4))
            assert refusal.value.hint == "modprobe gutless"
        finally:
            modules.load()
        # the family has another number now, and the open door finds it
        assert kernel.info().ports == 0
        assert kernel.ports() == []
