# SPDX-License-Identifier: Apache-2.0
"""Machines and the wires between them, read from a file and rendered as a Vagrantfile."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

import jinja2
import yaml

HERE = Path(__file__).resolve().parent
TOPOLOGY = HERE / "topology.yaml"
TEMPLATE = HERE / "Vagrantfile.j2"
VAGRANTFILE = HERE / "Vagrantfile"

_NAME = re.compile(r"[a-z][a-z0-9]{0,11}\Z")


class TopologyError(Exception):
    """The file does not describe machines and wires. The text says where, and what is wrong."""


@dataclass(frozen=True)
class End:
    """Where a wire meets a machine."""

    wire: str
    device: str
    """In the machine. The first, eth0, is Vagrant's own."""
    mac: str
    addresses: tuple[str, ...]
    """With their prefix lengths."""


@dataclass(frozen=True)
class Machine:
    """One machine, its ends in the order of the file."""

    name: str
    ends: tuple[End, ...]


def load(path: Path = TOPOLOGY) -> tuple[Machine, ...]:
    """The machines of a file. Raises TopologyError, and OSError where the file cannot be read."""
    try:
        data = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise TopologyError(f"{path}: not YAML: {error}") from None
    if not isinstance(data, dict) or set(data) != {"machines"} or not isinstance(data["machines"], dict):
        raise TopologyError(f"{path}: one mapping, 'machines', is wanted")
    wires: list[str] = []
    machines = tuple(
        _machine(path, number, name, ends, wires) for number, (name, ends) in enumerate(data["machines"].items(), 1)
    )
    for wire in wires:
        if sum(end.wire == wire for machine in machines for end in machine.ends) < 2:
            raise TopologyError(f"{path}: wire {wire} has one end")
    seen: dict[str, str] = {}
    for machine in machines:
        for end in machine.ends:
            for address in end.addresses:
                bare = address.partition("/")[0]
                if bare in seen:
                    raise TopologyError(f"{path}: {machine.name} and {seen[bare]} both have {bare}")
                seen[bare] = machine.name
    if not machines:
        raise TopologyError(f"{path}: no machine")
    return machines


def _machine(path: Path, number: int, name: object, ends: object, wires: list[str]) -> Machine:
    if not isinstance(name, str) or not _NAME.match(name):
        raise TopologyError(f"{path}: machine {name!r}: a name is lower case letters and digits, at most 12")
    if not isinstance(ends, dict) or not ends:
        raise TopologyError(f"{path}: machine {name}: its wires, each with a list of addresses, are wanted")
    made = []
    for device, (wire, addresses) in enumerate(ends.items(), 1):
        where = f"{path}: machine {name}, wire {wire!r}"
        if not isinstance(wire, str) or not _NAME.match(wire):
            raise TopologyError(f"{where}: a name is lower case letters and digits, at most 12")
        if not isinstance(addresses, list) or not addresses:
            raise TopologyError(f"{where}: a list of addresses is wanted")
        for address in addresses:
            try:
                interface = ipaddress.ip_interface(address)
            except ValueError as error:
                raise TopologyError(f"{where}: {error}") from None
            if "/" not in str(address) or interface.network.num_addresses == 1:
                raise TopologyError(f"{where}: {address}: a prefix length is wanted")
        if wire not in wires:
            wires.append(wire)
        # locally administered: nobody else's card has such a number
        mac = f"52:54:00:67:{wires.index(wire) + 1:02x}:{number:02x}"
        made.append(End(wire, f"eth{device}", mac, tuple(map(str, addresses))))
    return Machine(name, tuple(made))


def render(machines: tuple[Machine, ...], topology: str = TOPOLOGY.name) -> str:
    """The Vagrantfile for these machines. `topology` is named in its head as the file it comes from."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return environment.from_string(TEMPLATE.read_text()).render(machines=machines, topology=topology)
