# SPDX-License-Identifier: Apache-2.0
"""vagrant/: the Vagrantfile is that of the topology, and a topology that makes no sense is refused with the reason."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "vagrant"))

import topology

#: Two sites, and a router between them.
THREE = """
machines:
  west: {lan: [10.1.0.2/24]}
  nat: {lan: [10.1.0.1/24], wan: [198.51.100.1/24, "2001:db8::3/64"]}
  east: {wan: [198.51.100.2/24]}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    return path


def ruby_says_yes(text: str) -> None:
    """Where Ruby is at hand; the ring of the machines, which has it, runs the file itself."""
    if ruby := shutil.which("ruby"):
        done = subprocess.run([ruby, "-c"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_vagrantfile_is_that_of_the_topology() -> None:
    assert topology.render(topology.load()) == topology.VAGRANTFILE.read_text(), "run vagrant/render"
    ruby_says_yes(topology.VAGRANTFILE.read_text())


def test_every_machine_wire_and_address_is_in_it() -> None:
    text = topology.VAGRANTFILE.read_text()
    for machine in topology.load():
        _, _, part = text.partition(f'config.vm.define "{machine.name}"')
        part = part.partition("config.vm.define")[0]
        assert part, machine.name
        for end in machine.ends:
            assert f'mac: "{end.mac.replace(":", "")}"' in part
            assert f'"{end.mac}={",".join(end.addresses)}"' in part
            assert f'libvirt__network_name: "gutctl-{end.wire}"' in part


def test_three_machines_with_two_wires(tmp_path: Path) -> None:
    machines = topology.load(written(tmp_path, THREE))
    nat = machines[1]
    assert [(end.wire, end.device) for end in nat.ends] == [("lan", "eth1"), ("wan", "eth2")]
    macs = [end.mac for machine in machines for end in machine.ends]
    assert len(set(macs)) == 4
    text = topology.render(machines, "t.yaml")
    assert "from t.yaml" in text
    assert re.findall(r'libvirt__network_name: "(.*?)"', text) == ["gutctl-lan", "gutctl-lan", "gutctl-wan", "gutctl-wan"]
    assert f'"{nat.ends[1].mac}=198.51.100.1/24,2001:db8::3/64"' in text
    ruby_says_yes(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("machines: {}", "no machine"),
        ("{", "not YAML"),
        ("[]", "one mapping, 'machines'"),
        ("machines: {a: {w: [10.0.0.1/24]}}\nother: 1", "one mapping, 'machines'"),
        ("machines: {a: {w: [10.0.0.1/24]}}", "wire w has one end"),
        ("machines: {a: {w: [10.0.0.1/24]}, b: {w: [10.0.0.1/24]}}", "b and a both have 10.0.0.1"),
        ("machines: {a: {w: [10.0.0.1]}, b: {w: [10.0.0.2/24]}}", "a prefix length is wanted"),
        ("machines: {a: {w: [10.0.0.300/24]}, b: {w: [10.0.0.2/24]}}", "wire 'w': '10.0.0.300/24'"),
        ("machines: {a: {w: []}, b: {w: [10.0.0.2/24]}}", "a list of addresses"),
        ("machines: {a: {}, b: {w: [10.0.0.2/24]}}", "machine a: its wires"),
        ("machines: {'a; rm': {w: [10.0.0.1/24]}}", "machine 'a; rm': a name is"),
        ("machines: {a: {'w\"': [10.0.0.1/24]}}", "a name is"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(topology.TopologyError) as refused:
        topology.load(path)
    assert str(refused.value).startswith(str(path)) and says in str(refused.value)


def test_the_program(tmp_path: Path) -> None:
    def render(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "vagrant" / "render"), *words], capture_output=True, text=True, check=False
        )

    assert render("--check").returncode == 0
    printed = render(str(written(tmp_path, THREE)))
    assert printed.returncode == 0 and 'config.vm.define "nat"' in printed.stdout
    refused = render(str(written(tmp_path, "machines: {}")))
    assert (refused.returncode, refused.stdout) == (1, "") and "no machine" in refused.stderr
    missing = render(str(tmp_path / "none.yaml"))
    assert missing.returncode == 1 and "Traceback" not in missing.stderr
    assert render("--what").returncode == 2
