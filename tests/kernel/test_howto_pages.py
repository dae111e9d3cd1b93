# SPDX-License-Identifier: Apache-2.0
"""How-to pages are run: their commands for west and for east, in their order, and then traffic passes.

      west eth0 ---- eth0 east            west eth0 ---- router, masquerades ---- eth0 east

What a page shows in blocks without a host's name (making secrets, watching) is not run. Files that it names are made.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from net import Host, Net
from tool import gutctl, ok
from topology import nat, pair
from traffic import assert_ping, wait_until

from gutctl.netlink import Kernel

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto"
FILES = re.compile(r"@/etc/gutctl/([\w.]+)")
FAR = "10.9.0.2"


def blocks(page: str) -> list[tuple[str, list[str]]]:
    """Host and commands."""
    found = re.findall(r"^```sh (west|east)\n(.*?)^```", (HOWTO / page).read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return [(host, commands.splitlines()) for host, commands in found]


def carry_out(page: str, west: Host, east: Host, files: Path) -> None:
    for name in set(FILES.findall((HOWTO / page).read_text())):
        made = files / name
        made.touch(mode=0o600)
        made.write_text(os.urandom(16).hex())
    for name, commands in blocks(page):
        host = west if name == "west" else east
        for line in commands:
            words = shlex.split(FILES.sub(rf"@{files}/\1", line))
            if words[0] == "gutctl":
                ok(gutctl(*words[1:], netns=host))
            else:
                host.run(*words)


@contextmanager
def kernel(host: Host) -> Iterator[Kernel]:
    with Kernel(host.name) as door:
        yield door


def drops(host: Host) -> dict[str, int]:
    with kernel(host) as door:
        (port,) = door.ports()
    return {reason: n for reason, n in port.stats.drops.items() if n}


def sent(host: Host) -> set[str]:
    """Names of the options that the one tunnel sends."""
    (record,) = gutctl("tunnel", "list", netns=host, json=True).data["tunnels"]
    found = gutctl("tunnel", "show", record["name"], netns=host, json=True).data["tunnel"]
    return {word.partition("=")[0] for word in found["options"]}


@pytest.fixture
def ends(gutless: None, net: Net) -> tuple[Host, Host]:
    made = pair(net)
    return made.a, made.b


def test_options(ends: tuple[Host, Host], tmp_path: Path) -> None:
    west, east = ends
    carry_out("options.md", west, east, tmp_path)
    assert_ping(west, FAR)
    assert sent(west) == {"group", "min-path-mtu"}
    assert drops(east) == drops(west) == {}
    ok(gutctl("ext", "detach", "east", "group", netns=west))
    west.run("ping", "-c", "1", "-W", "1", FAR, check=False)
    wait_until(lambda: set(drops(east)) == {"option-missing"}, what="a packet without a group dropped")


def test_keys(ends: tuple[Host, Host], tmp_path: Path) -> None:
    west, east = ends
    carry_out("keys.md", west, east, tmp_path)
    assert_ping(west, FAR)
    assert sent(west) == sent(east) == {"auth"}
    for host in ends:
        with kernel(host) as door:
            (port,) = door.ports()
        assert [key.id for key in port.keys] == [2] and port.require_auth
    # as the page says: what is not signed gets no answer
    assert gutctl("ping", "198.51.100.2", "--count", 1, "--timeout", 1, netns=west).code == 1
    wait_until(lambda: "auth-missing" in drops(east), what="an unsigned request dropped")


def test_gue_fields(ends: tuple[Host, Host], tmp_path: Path) -> None:
    west, east = ends
    carry_out("gue-fields.md", west, east, tmp_path)
    assert_ping(west, FAR)
    for host in ends:
        with kernel(host) as door:
            (port,) = door.ports()
        assert (port.gue.group, port.gue.csum, port.gue.cookie is not None) == (8, False, True)
    assert gutctl("ping", "198.51.100.2", "--count", 1, "--timeout", 1, netns=west).code == 1


def test_check_word(gutless: None, net: Net, tmp_path: Path) -> None:
    made = nat(net, offloads=False)
    carry_out("check-word.md", made.a, made.b, tmp_path)
    assert_ping(made.a, FAR)
    assert drops(made.b) == {}
    with kernel(made.b) as door:
        (port,) = door.ports()
    assert port.verify_headers
    (rule,) = port.rules
    assert rule.stats.matched >= 2
