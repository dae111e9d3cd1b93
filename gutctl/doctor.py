# SPDX-License-Identifier: Apache-2.0
"""What keeps tunnels from working, each finding with the command that mends it.

Looks only; changes nothing, loads nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import partial
from pathlib import Path

from gutctl import __version__, ethtool
from gutctl.backend import backend
from gutctl.errors import ExitStatus, GutctlError, UnsupportedError
from gutctl.model import DEFAULT_PORT, Module
from gutctl.planners.port import options
from gutctl.planners.words import port_name
from gutctl.records import seen_record
from gutctl.world import State, World

__all__ = ["Finding", "Level", "Machine", "examine", "status"]

NEEDED = ("udp_tunnel", "ip6_udp_tunnel", "ip_tunnel", "ip6_tunnel", "sit", "ipip", "ip_gre", "ip6_gre")
"""Modules behind the links that tunnels use."""
TABLE = "udp_tunnel_update_gro_rcv"
"""A function of kernels (6.16 and newer) that keep the kinds of UDP tunnel they merge in a table, sized for their own."""
FELLOWS = ("vxlan", "geneve", "fou")
"""Modules of the kinds that fill it, with UDP sockets of IPsec."""
TABLE_FULL = "Too many UDP tunnel types"
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@unique
class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation."""

    level: Level
    text: str
    command: str | None = None
    """What mends it."""
    status: ExitStatus = ExitStatus.FAILED
    """Exit status, where the level is fail."""


def status(findings: Iterable[Finding]) -> ExitStatus:
    """0 where nothing fails; 7 where the kernel's part is missing; else 1."""
    failed = [finding.status for finding in findings if finding.level is Level.FAIL]
    if ExitStatus.UNSUPPORTED in failed:
        return ExitStatus.UNSUPPORTED
    return failed[0] if failed else ExitStatus.OK


class Machine:
    """Files that tell about modules; below ``root``."""

    def __init__(self, root: Path = Path("/"), release: str | None = None) -> None:
        self.root = root
        self.release = release or os.uname().release

    def loaded(self, module: str) -> bool:
        """Loaded, or built in with parameters or a version."""
        return (self.root / "sys/module" / module).is_dir()

    def version(self, module: str) -> str | None:
        """As the loaded module says."""
        try:
            return (self.root / "sys/module" / module / "version").read_text().strip()
        except OSError:
            return None

    def installed(self, module: str, release: str | None = None) -> bool:
        """A file of it is in /lib/modules, or it is built in."""
        folder = self.root / "lib/modules" / (release or self.release)
        for index, separator in (("modules.dep", ":"), ("modules.builtin", "\n")):
            try:
                text = (folder / index).read_text()
            except OSError:
                continue
            for line in text.splitlines():
                name = line.partition(separator)[0].rpartition("/")[2].partition(".ko")[0]
                if name.replace("-", "_") == module:
                    return True
        return False

    def elsewhere(self, module: str) -> list[str]:
        """Other kernels that have it."""
        try:
            releases = sorted(entry.name for entry in (self.root / "lib/modules").iterdir())
        except OSError:
            return []
        return [r for r in releases if r != self.release and self.installed(module, r)]

    def secure_boot(self) -> bool:
        """Whether the firmware lets only signed kernels, and those only signed modules, run."""
        try:
            return (self.root / SECURE_BOOT).read_bytes()[-1:] == b"\x01"
        except OSError:
            return False

    def has_function(self, name: str) -> bool:
        """Whether the kernel has it."""
        try:
            return f" {name}\n".encode() in (self.root / "proc/kallsyms").read_bytes()
        except OSError:
            return False

    def said(self, text: str) -> bool:
        """Whether the kernel's log has it, as far as it goes back; no where the log may not be read."""
        try:
            log = os.open(self.root / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            while True:
                try:
                    record = os.read(log, 1 << 13)
                except BrokenPipeError:
                    continue  # overwritten before it was read: the next is
                except OSError:
                    return False
                if not record:
                    return False
                if text.encode() in record:
                    return True
        finally:
            os.close(log)


def examine(world: World, machine: Machine | None = None) -> Iterator[Finding]:
    """Everything there is to find, in the order in which to mend it."""
    machine = machine or Machine()
    yield from _module(machine, wanted=world.module is not Module.FOU)
    yield from _fou(world, machine, wanted=world.module is Module.FOU)
    yield from _needed(machine)
    yield from _merging(machine)
    yield from _sysctls(world)
    yield from _queues(world)
    yield from _tunnels(world)


def _able(module: Module, rest: str) -> str:
    """What a module can do, in the words of the command line."""
    does = backend(module)
    return f"formats {' '.join(does.formats)}, csum {' '.join(does.csums)}, {rest}"


def _fou(world: World, machine: Machine, *, wanted: bool) -> Iterator[Finding]:
    """The kernel's own module; its absence is a failure only where it is asked for."""
    try:
        info = world.using(Module.FOU).door.info()
    except UnsupportedError as error:
        command = error.hint if machine.installed("fou") else f"apt-get install linux-image-{machine.release}"
        text = "module fou, the kernel's own, is not loaded (for --module fou)"
        level = Level.FAIL if wanted else Level.OK
        yield Finding(level, text, command if wanted else None, ExitStatus.UNSUPPORTED)
        return
    except GutctlError as error:
        yield Finding(Level.WARN, f"module fou cannot be asked: {error.message}", error.hint)
        return
    over = "over IPv4 and IPv6" if "ipv6" in info.features else "over IPv4, not IPv6 (no module fou6)"
    senders = "ports for all or for one peer's port" if "bind" in info.features else "ports for all"
    text = f"module fou, the kernel's own, loaded: {_able(Module.FOU, f'{over}; {senders}, uncounted')}"
    yield Finding(Level.OK, text, None if "ipv6" in info.features else "modprobe fou6")


def _module(machine: Machine, *, wanted: bool) -> Iterator[Finding]:
    release = machine.release
    if machine.loaded("gutless"):
        version = machine.version("gutless")
        text = f"module gutless {version} for {release}, loaded; gutctl {__version__}"
        if version == __version__:
            yield Finding(Level.OK, text)
        else:
            yield Finding(Level.WARN, f"{text}: not the same version", "modprobe -r gutless && modprobe gutless")
        able = _able(Module.GUTLESS, "profiles; ports for lists of prefixes, counted")
        yield Finding(Level.OK, f"module gutless can: {able}")
        return
    missing = partial(Finding, Level.FAIL if wanted else Level.OK, status=ExitStatus.UNSUPPORTED)
    if machine.installed("gutless"):
        yield missing(f"module gutless is there for {release}, not loaded", "modprobe gutless")
    else:
        others = machine.elsewhere("gutless")
        where = f" (only for {', '.join(others)})" if others else ""
        yield missing(
            f"module gutless is not installed for the running kernel {release}{where}",
            f"make -C kmod install KDIR=/lib/modules/{release}/build && modprobe gutless",
        )
    if machine.secure_boot():
        yield Finding(
            Level.WARN,
            'Secure Boot is on: a module without a known signature is refused ("Key was rejected by service")',
            "mokutil --import /var/lib/dkms/mok.pub, then reboot and enrol it",
        )


def _needed(machine: Machine) -> Iterator[Finding]:
    missing = [m for m in NEEDED if not machine.loaded(m) and not machine.installed(m)]
    if missing:
        yield Finding(
            Level.FAIL,
            f"the kernel {machine.release} has no module {', '.join(missing)}",
            f"apt-get install linux-image-{machine.release}",
            ExitStatus.UNSUPPORTED,
        )
    else:
        yield Finding(Level.OK, f"modules {' '.join(NEEDED)} are there")


def _merging(machine: Machine) -> Iterator[Finding]:
    """Newer kernels' table of kinds of UDP tunnel has no place for one that the kernel does not bring."""
    if not machine.loaded("gutless") or not all(map(machine.loaded, FELLOWS)) or not machine.has_function(TABLE):
        return
    names = ", ".join(FELLOWS)
    if machine.said(TABLE_FULL):
        text = f'the kernel said "{TABLE_FULL}": {names}, IPsec and gutless were in use at once. Packets are merged and nothing is lost; '
        yield Finding(Level.WARN, text + "a shortcut for a lone kind of tunnel is off", "reboot with fewer of them in use, where that matters")
    else:
        text = f"{names} are loaded too: were they and IPsec over UDP all in use, the kernel would say"
        yield Finding(Level.OK, f'{text} "{TABLE_FULL}", and merge without a shortcut; nothing is lost by it')


def _sysctls(world: World) -> Iterator[Finding]:
    door = world.door
    names = ["all", *(seen.tunnel.name for seen in world.standing(world.here))]
    for name in names:
        path = f"net/ipv4/conf/{name}/rp_filter"
        if door.sysctl(path) == "1":
            yield Finding(
                Level.WARN,
                f"net.ipv4.conf.{name}.rp_filter=1 drops answers on asymmetric paths",
                f"sysctl net.ipv4.conf.{name}.rp_filter=2",
            )
    for family, path in ((4, "net/ipv4/ip_forward"), (6, "net/ipv6/conf/all/forwarding")):
        value = door.sysctl(path)
        word = path.replace("/", ".")
        if value == "0":
            yield Finding(
                Level.OK,
                f"{word}=0: IPv{family} packets for other hosts are not passed on",
                f"sysctl {word}=1, where this host shall route",
            )
        elif value is not None:
            yield Finding(Level.OK, f"{word}={value}: this host routes IPv{family}")


def _queues(world: World) -> Iterator[Finding]:
    devices = world.door.in_netns(lambda: [name for _, name in socket.if_nameindex()])
    for device in devices:
        if world.door.in_netns(partial(ethtool.rx_rings, device)) < 2:
            continue
        for family in (4, 6):
            if world.door.in_netns(partial(ethtool.hashes_udp_ports, device, family)) is False:
                yield Finding(
                    Level.WARN,
                    f"{device} does not hash UDP ports over IPv{family}: all tunnel flows reach one receive queue",
                    f"ethtool -N {device} rx-flow-hash udp{family} sdfn",
                )


def _tunnels(world: World) -> Iterator[Finding]:
    door = world.door
    try:
        states = {
            (world.here, module): world.using(module).state(world.here, needed=False)
            for module in ([world.module] if world.module else Module)
        }
    except GutctlError as error:
        yield Finding(Level.WARN, f"ports and profiles cannot be read: {error.message}", error.hint)
        return
    ports = [port for state in states.values() for port in state.ports]
    ours = {(port.key.family, port.key.port) for port in ports}
    for family in (4, 6):
        owner = door.udp_port_owner(family, DEFAULT_PORT)
        if owner is not None and (family, DEFAULT_PORT) not in ours:
            yield Finding(
                Level.WARN,
                f"port {DEFAULT_PORT}/udp over IPv{family} is held by {owner}",
                "stop that program, or give tunnels another --port",
            )
    for port in ports:
        if port.any_source:
            yield Finding(
                Level.WARN,
                f"{port_name(port)} lets everybody inject packets (the class of CVE-2024-7596)",
                f"gutctl port set {options(port.key)} --from PREFIX"
                if backend(port.module).source_lists
                else "one --sport at each end, and no --any-source; or the module gutless",
            )
    for seen in world.standing(world.here):
        tunnel = seen.tunnel
        if tunnel.foreign and world.module is None:
            continue
        there = State(None, [], [])
        if seen.reachable:
            place = seen.sends, tunnel.module
            if place not in states:
                states[place] = world.using(tunnel.module).state(seen.sends, needed=False)
            there = states[place]
        notes = seen_record(world, seen, there)["notes"]
        # that the module is missing has been said
        for text in notes if there.info is not None or not seen.reachable else []:
            yield Finding(Level.FAIL, f"tunnel {tunnel.name}: {text}", _mend(tunnel.name, text))
        if not tunnel.up:
            yield Finding(Level.WARN, f"tunnel {tunnel.name} is down", f"gutctl tunnel set {tunnel.name} --up")
        if not notes and tunnel.up:
            yield Finding(Level.OK, f"tunnel {tunnel.name} to {tunnel.remote} is complete")


def _mend(name: str, note: str) -> str | None:
    if "receiving port" in note:
        number = note.partition("receiving port ")[2].partition("/")[0]
        return f"gutctl tunnel set {name} --port {number}"
    if "local address" in note:
        return f"gutctl tunnel set {name} --local ADDR"
    if "profile" in note:
        return f"gutctl tunnel set {name} --sport auto"
    return None
