# SPDX-License-Identifier: Apache-2.0
"""Options by the command line, in a kernel: attached, changed under traffic, chosen by a firewall mark.

      a, gutctl ---- eth0 wire eth0 ---- b, gutctl       captured at a
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from capture import Capture, capture
from net import Host, Net
from tool import gutctl
from topology import Pair, pair
from traffic import assert_tcp, wait_until

from gutctl.encap import Gutless
from gutctl.ext_api import format_option

PORT = 6080
FAR = "10.9.0.2"


@pytest.fixture
def wire(gutless: None, net: Net) -> Iterator[Pair]:
    yield pair(net, offloads=False)


def seen(watch: Capture, dscp: int | None = None) -> list[str]:
    """Options of the last packet to the port that had a header, those of a traffic class alone where one is given."""
    for outer in reversed(watch.outers(PORT, outgoing=True)):
        decoded = outer.decode()
        inner = decoded.payload
        if dscp is not None and inner[1] >> 2 != dscp:
            continue
        header = decoded.header
        options = header.options if isinstance(header, Gutless) else ()
        return [format_option(option) for option in options if not option.padding]
    return ["nothing"]


def must(host: Host, *words: str) -> str:
    """Run it on a host, and demand that it works; what it printed."""
    said = gutctl(*words, netns=host)
    assert said.code == 0, said
    return said.out


def told(host: Host, *words: str) -> Any:
    return gutctl(*words, netns=host, json=True).data


def tunnel(a: Host, b: Host, wire: Pair, family: int) -> None:
    ends = wire.ends(family)
    must(a, "tunnel", "add", "west", "--remote", ends[1], "--address", "10.9.0.1/24", "--option", "0x1e=0001")
    must(b, "tunnel", "add", "west", "--remote", ends[0], "--address", f"{FAR}/24", "--option", "0x1e=0001")


@pytest.mark.parametrize("family", [4, 6])
def test_attach_set_detach(wire: Pair, family: int) -> None:
    """Both ends send the option and take it; a value changes between two TCP streams; with timing all packets are single ones."""
    a, b = wire.a, wire.b
    tunnel(a, b, wire, family)
    with capture(a, "eth0", count=8192) as watch:
        assert_tcp(a, b, FAR, 1 << 20)
        assert seen(watch) == ["0x1e=0001"]
        assert must(a, "ext", "attach", "west", "0x1e=0001") == "west: unchanged\n"
        must(a, "ext", "set", "west", "0x1e=ffff")
        watch.forget()
        assert_tcp(a, b, FAR, 1 << 20)
        assert seen(watch) == ["0x1e=ffff"]
    must(a, "ext", "attach", "west", "timing", "min-path-mtu=0")
    with capture(a, "eth0", count=8192) as watch:
        assert_tcp(a, b, FAR, 1 << 20)
        found = seen(watch)
        assert found[0] == "0x1e=ffff" and found[1].startswith("timing=") and found[2] == "min-path-mtu=1500"
    record = told(a, "tunnel", "show", "west")["tunnel"]
    assert record["segmented"] is True and record["mtu"] == 1500 - {4: 20, 6: 40}[family] - 8 - 4 - 24
    assert record["stats"]["tx_dropped"] == 0
    number = record["profile"]
    assert not any(told(a, "profile", "show", str(number))["profile"]["stats"]["drops"].values())
    must(a, "ext", "detach", "west", "timing", "min-path-mtu", "0x1e")
    assert told(a, "tunnel", "show", "west")["tunnel"]["profile"] is None
    assert_tcp(a, b, FAR, 1 << 18)


def test_dscp_chooses_by_nftables(wire: Pair) -> None:
    """As docs/extensions.md shows it: an ordinary program sets DSCP 46, and its packets get the options of a profile."""
    a, b = wire.a, wire.b
    tunnel(a, b, wire, 4)
    must(a, "profile", "add", "515", "--format", "gutless", "--option", "0x1e=0007")
    must(a, "ext", "rule", "add", "west", "--mark", "7", "--profile", "515")
    a.run("nft", "-f", "-", input="""
        table inet t {
            chain out { type route hook output priority mangle; ip dscp ef meta mark set 7; }
        }
    """)
    with capture(a, "eth0", count=512) as watch:
        a.run("ping", "-c", "1", "-W", "5", FAR)
        a.run("ping", "-c", "1", "-W", "5", "-Q", "0xb8", FAR)
        wait_until(lambda: seen(watch, 46) != ["nothing"], what="the marked packet")
        assert seen(watch, 46) == ["0x1e=0007"]
        assert seen(watch, 0) == ["0x1e=0001"]
    assert told(a, "profile", "show", "515")["profile"]["stats"]["packets"] >= 1
