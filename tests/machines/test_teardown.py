# SPDX-License-Identifier: Apache-2.0
"""Last of the ring: what Vagrant made, it takes away. (What it forgot would end with the namespaces all the same.)"""

from __future__ import annotations

import subprocess
from pathlib import Path

from machines import Machines


def virsh(*words: str) -> list[str]:
    done = subprocess.run(
        ["virsh", "-q", "-c", "qemu:///system", *words], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


def programs() -> set[str]:
    """Names of all processes in this namespace."""
    names = set()
    for entry in Path("/proc").glob("[0-9]*/comm"):
        try:
            names.add(entry.read_text().strip())
        except OSError:
            continue
    return names


def devices() -> set[str]:
    return {entry.name for entry in Path("/sys/class/net").iterdir()}


def test_nothing_is_left(pair: Machines) -> None:
    assert len(virsh("list", "--all", "--name")) == len(pair.names)
    assert "gutctl-wan" in virsh("net-list", "--all", "--name")
    assert {name for name in programs() if name.startswith("qemu")} and "dnsmasq" in programs()
    pair.destroy()
    assert virsh("list", "--all", "--name") == []
    assert [name for name in virsh("net-list", "--all", "--name") if name != "default"] == []
    volumes = virsh("vol-list", "default")[::2]
    assert all("vagrant_box_image" in name for name in volumes), volumes
    assert not {name for name in programs() if name.startswith("qemu") or name == "dnsmasq"}
    assert devices() == {"lo"}
