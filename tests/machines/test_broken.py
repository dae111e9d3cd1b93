# SPDX-License-Identifier: Apache-2.0
"""A machine that cannot come up: it ends within its time, and what it said on its console is shown."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import topology
from machines import MachineError, Machines

SECONDS = 60
"""Twice what it takes, on two quiet cores, until the machine has said that it gives up."""
BROKEN = """
load {vagrantfile!r}
Vagrant.configure("2") do |config|
  config.vm.provider :libvirt do |libvirt|
    libvirt.cmd_line = "root=/dev/nowhere console=ttyS0"
  end
end
"""


def test_a_machine_without_root_file_system(environment: dict[str, str], tmp_path: Path) -> None:
    one = topology.Machine("lost", ())
    vagrantfile = tmp_path / "Vagrantfile.lost"
    vagrantfile.write_text(topology.render((one,)))
    lost = Machines(
        Path(os.environ["GUTCTL_MACHINES"], "lost"), BROKEN.format(vagrantfile=str(vagrantfile)), ["lost"], environment
    )
    started = time.monotonic()
    try:
        with pytest.raises(MachineError) as failure:
            lost.up(SECONDS)
        took = time.monotonic() - started
    finally:
        lost.destroy()
    said = str(failure.value)
    assert f"vagrant up: not done within {SECONDS} s" in said
    # Vagrant has ten seconds to go after it was told
    assert SECONDS <= took < SECONDS + 15
    assert "initrd: no root file system on '/dev/nowhere'" in said, said
    assert "Waiting for domain to get an IP address" in said
