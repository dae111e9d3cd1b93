# SPDX-License-Identifier: Apache-2.0
"""A machine whose kernel is told of a root file system that is not there, brought up while other tests go on."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import topology
from machines import MachineError, Machines

SECONDS = 100
"""That it is given: three times what it takes, beside two busy machines, until it has said that it gives up."""

BROKEN = """
load {vagrantfile!r}
Vagrant.configure("2") do |config|
  config.vm.provider :libvirt do |libvirt|
    libvirt.cmd_line = "root=/dev/nowhere console=ttyS0"
  end
end
"""


class Attempt(threading.Thread):
    """One attempt to bring it up, and what came of it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(daemon=True)
        vagrantfile = folder.with_suffix(".rb")
        vagrantfile.write_text(topology.render((topology.Machine("lost", ()),)))
        self.lost = Machines(folder, BROKEN.format(vagrantfile=str(vagrantfile)), ["lost"], environment)
        self.said = ""
        """The failure's text."""
        self.took = 0.0
        self.trouble: str | None = "not ended"
        """What was not as it should be."""

    def run(self) -> None:
        """Up, which must fail, and away with it."""
        started = time.monotonic()
        try:
            self.lost.up(SECONDS)
            self.trouble = "it came up"
        except MachineError as error:
            self.took = time.monotonic() - started
            self.said = str(error)
            self.trouble = None
        try:
            self.lost.destroy()
        except MachineError as error:
            self.trouble = str(error)
