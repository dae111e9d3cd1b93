# SPDX-License-Identifier: Apache-2.0
"""Machines of a topology: brought up and taken away by Vagrant, spoken to by ssh.

Vagrant starts a Ruby for every word, 2 to 5 seconds. So it is asked for what only it can do, and commands go over one ssh
connection a machine, by the configuration that ``vagrant ssh-config`` gives.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import vagrant

T = TypeVar("T")
# it has no types
API: Any = vagrant
BOX = "gutctl/debian"
SSH = ("ssh", "-o", "ControlMaster=auto", "-o", "ControlPersist=600", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=10")


class MachineError(Exception):
    """A machine did not come up, or does not answer. The text has the end of its console."""


@dataclass(frozen=True)
class Said:
    """What a command in a machine said."""

    code: int
    out: str
    err: str


def wait_until(what: str, seconds: float, test: Callable[[], bool], pause: float = 0.3) -> None:
    """Try until `test` is true. Raises AssertionError with `what` when it is not within `seconds`."""
    limit = time.monotonic() + seconds
    while not test():
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)


def prepare_vagrant(home: Path, box: Path) -> None:
    """Make a home for Vagrant that has one box, the folder `box`, without a copy of it."""
    versions = home / "boxes" / BOX.replace("/", "-VAGRANTSLASH-") / "1.0.0"
    versions.mkdir(parents=True)
    (versions / "libvirt").symlink_to(box)
    (home / "setup_version").write_text("1.5")


class Machines:
    """The machines of one Vagrantfile, in a folder of their own."""

    def __init__(self, folder: Path, vagrantfile: str, names: Sequence[str], environment: dict[str, str]) -> None:
        """Nothing is started yet. `folder` is made; `names` are those in the Vagrantfile."""
        self.folder = folder
        self.names = tuple(names)
        self.console = folder / "console"
        self.console.mkdir(parents=True)
        self.log = folder / "vagrant.log"
        self.destroyed = False
        (folder / "Vagrantfile").write_text(vagrantfile)
        # A `vagrant` that ends: python-vagrant has no time-outs of its own.
        wrapper = folder / "bin" / "vagrant"
        wrapper.parent.mkdir()
        real = API.get_vagrant_executable()
        wrapper.write_text(f'#!/bin/sh\nexec timeout --signal=INT --kill-after=10 "$SECONDS_LEFT" {real} "$@"\n')
        wrapper.chmod(0o755)
        log = API.make_file_cm(str(self.log))
        # It replaces the environment, it does not add to it; without logs its errors vanish.
        self.vagrant = API.Vagrant(
            root=str(folder),
            env=dict(os.environ, **environment, GUTCTL_CONSOLE=str(self.console), VAGRANT_CHECKPOINT_DISABLE="1"),
            out_cm=log,
            err_cm=log,
        )
        self.vagrant._vagrant_exe = str(wrapper)

    def _vagrant(self, what: str, seconds: float, call: Callable[[], T]) -> T:
        """One call of Vagrant. Raises MachineError where it fails or is not done within `seconds`."""
        self.vagrant.env["SECONDS_LEFT"] = str(seconds)
        started = time.monotonic()
        try:
            return call()
        except subprocess.CalledProcessError as error:
            took = time.monotonic() - started
            # those of timeout(1)
            late = error.returncode in (124, 137, -9)
            why = f"not done within {seconds:.0f} s" if late else f"exit status {error.returncode} after {took:.0f} s"
            raise MachineError(f"vagrant {what}: {why}\n{self.said()}") from None

    def up(self, seconds: float) -> None:
        """All of them, with what is installed in them. Raises MachineError, with the consoles, after `seconds` at most."""
        self._vagrant("up", seconds, lambda: self.vagrant.up(provider="libvirt"))
        (self.folder / "ssh").write_text(self._vagrant("ssh-config", 180, self.vagrant.ssh_config))

    def said(self, lines: int = 40) -> str:
        """The ends of Vagrant's log and of the machines' consoles."""
        parts = []
        consoles = {f"console of {name}": self.console / f"{name}.log" for name in self.names}
        for name, path in {"vagrant": self.log, **consoles}.items():
            text = path.read_text(errors="replace") if path.exists() else ""
            shown = [line.rstrip() for line in text.splitlines()][-lines:] or ["(nothing)"]
            parts.append("\n".join([f"--- {name}:", *(f"  | {line}" for line in shown)]))
        return "\n".join(parts)

    def destroy(self) -> None:
        """Take them and their networks away; once is enough. Raises MachineError where Vagrant cannot."""
        for name in self.names:
            self._ssh(name, options=("-O", "exit"))
        if not self.destroyed:
            self._vagrant("destroy", 300, self.vagrant.destroy)
        self.destroyed = True

    def _ssh(
        self, name: str, options: Sequence[str] = (), command: Sequence[str] = (), script: str = "", seconds: float = 30
    ) -> Said:
        control = ("-F", str(self.folder / "ssh"), "-o", f"ControlPath={self.folder}/{name}.ssh")
        try:
            done = subprocess.run(
                [*SSH, *control, *options, name, *command],
                input=script,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            said = (error.stdout or b"").decode(errors="replace")
            raise AssertionError(f"{name}: not done within {seconds:.0f} s:\n{script}\n{said}\n{self.said()}") from None
        return Said(done.returncode, done.stdout, done.stderr)

    def try_run(self, name: str, script: str, seconds: float = 180) -> Said:
        """Run a shell script as root in a machine, whatever comes of it."""
        return self._ssh(name, command=("sudo", "bash", "-euo", "pipefail", "-s"), script=script, seconds=seconds)

    def run(self, name: str, script: str, seconds: float = 180) -> str:
        """The same, and its standard output. Raises AssertionError with all it said where the exit status is not 0."""
        said = self.try_run(name, script, seconds)
        assert said.code == 0, f"{name}: exit status {said.code}\n{script}\n{said.out}{said.err}"
        return said.out

    def put(self, name: str, source: Path, target: str) -> None:
        """Copy a text file into a machine."""
        self.run(name, f"cat >{target} <<'end of the file'\n{source.read_text()}end of the file\n")

    def run_all(self, scripts: dict[str, str], seconds: float = 180) -> dict[str, str]:
        """One script in each machine, at the same time."""
        with ThreadPoolExecutor(len(scripts)) as pool:
            made = {name: pool.submit(self.run, name, script, seconds) for name, script in scripts.items()}
        return {name: future.result() for name, future in made.items()}

    def reboot(self, name: str, seconds: float = 300) -> None:
        """Boot a machine anew, from inside, and wait until it answers. Raises MachineError where it does not."""
        boot_id = "cat /proc/sys/kernel/random/boot_id"
        before = self.run(name, boot_id)
        # after this connection has ended: one that is cut would be waited for
        self.run(name, "(sleep 1; systemctl reboot --no-wall) >/dev/null 2>&1 &")
        self._ssh(name, options=("-O", "exit"))

        def is_back() -> bool:
            said = self.try_run(name, boot_id, seconds)
            return said.code == 0 and said.out != before

        try:
            wait_until(f"{name} is back", seconds, is_back)
        except AssertionError as error:
            raise MachineError(f"{error}\n{self.said()}") from None
