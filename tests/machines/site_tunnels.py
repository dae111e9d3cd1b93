# SPDX-License-Identifier: Apache-2.0
"""The tunnels that the tests make, and the script that makes them: plain shell, to be run as often as one likes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

NAMES = ("west", "east")


@dataclass(frozen=True)
class Case:
    """A tunnel between the machines, with outer and inner addresses of its own."""

    name: str
    family: int
    form: str
    options: tuple[str, ...] = ()
    number: int = 0
    inner: tuple[int, ...] = (4, 6)

    def outer(self, machine: str) -> str:
        """What its packets come from."""
        host = self.number * 10 + 1 + NAMES.index(machine)
        return f"192.0.2.{host}" if self.family == 4 else f"2001:db8::{host}"

    def inside(self, machine: str) -> tuple[str, ...]:
        """Addresses in the tunnel, without prefix lengths."""
        host = 1 + NAMES.index(machine)
        network = 1 + self.number * 2 + (self.family == 6)
        made = {4: f"10.9.{network}.{host}", 6: f"fd09:{network}::{host}"}
        return tuple(made[version] for version in self.inner)


#: Number 0 has the wire's own addresses; the others are put beside them, so that no two tunnels have the same ends.
CASES = (
    Case("gutless4", 4, "gutless"),
    Case("gutless6", 6, "gutless"),
    Case("gue4", 4, "gue", ("--mode", "gre", "--key", "7"), 1),
    Case("gue6", 6, "gue", (), 1),
    Case("fou4", 4, "fou", ("--port", "6081"), 2, (4,)),
    Case("fou6", 6, "fou", ("--mode", "eth", "--key", "9", "--port", "6082"), 2),
)


def play(machine: str, cases: tuple[Case, ...] = CASES) -> str:
    """A script for one machine: it demands the tunnels, and says of each whether anything had to be changed."""
    other = NAMES[1 - NAMES.index(machine)]
    lines = [
        "changes=0",
        "demand() {",
        '    answer=$(gutctl tunnel add "$@" --json)',
        '    case $answer in',
        '    *\'"result": "added"\'* | *\'"result": "changed"\'*) echo "$1 changed"; changes=$((changes + 1)) ;;',
        '    *\'"result": "unchanged"\'*) echo "$1 unchanged" ;;',
        '    *) echo "$1: what is this? $answer" >&2; exit 1 ;;',
        "    esac",
        "}",
    ]
    for case in cases:
        length = 24 if case.family == 4 else 64
        lines.append(f"ip addr replace {case.outer(machine)}/{length} dev eth1 {'nodad' if case.family == 6 else ''}")
        addresses = [word for bare in case.inside(machine) for word in ("--address", f"{bare}/{64 if ':' in bare else 30}")]
        words = ["--local", case.outer(machine), "--remote", case.outer(other), "--format", case.form, *case.options, *addresses]
        lines.append(f"demand {case.name} {shlex.join(words)}")
    return "\n".join([*lines, 'echo "changes $changes"', ""])
