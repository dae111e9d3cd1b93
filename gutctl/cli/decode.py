# SPDX-License-Identifier: Apache-2.0
"""``gutctl decode``: packets from a capture or from hexadecimal, header by header."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import IO, Any

import click

from gutctl import ext_api
from gutctl._wire.hextext import read_hex
from gutctl.cli.context import Session, common, pass_session
from gutctl.dissect import (
    Dissection,
    Ports,
    dissect_frame,
    dissect_packet,
    dissect_payload,
)
from gutctl.encap import EncapError
from gutctl.errors import ExitStatus, GutctlError, UsageError
from gutctl.pcap import LINK_NAMES, Frame, is_capture, read_frames

SCHEMA = 1
_TEXT_MAX = 0x1000000
"""Octets of hexadecimal text that are read; a capture has no limit."""

_LINK_ETHERNET = 1


_PROTOCOLS = MappingProxyType(
    {
        "ipv4": 4,
        "ipip": 4,
        "ipv6": 41,
        "gre": 47,
        "ethernet": 143,
        "tcp": 6,
        "udp": 17,
        "dccp": 33,
        "esp": 50,
        "sctp": 132,
    }
)


def _fou_ports(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[int, int]:
    """Each PORT:PROTOCOL, the protocol as a number or one of a few names."""
    found: dict[int, int] = {}
    for value in values:
        port, _, protocol = value.partition(":")
        number = str(_PROTOCOLS.get(protocol.lower(), protocol))
        if not _within(port, 0xFFFF):
            raise click.BadParameter(f"{port!r} is no UDP port (1 to 65535)")
        if not _within(number, 0xFF):
            known = ", ".join(_PROTOCOLS)
            raise click.BadParameter(f"{protocol!r} is no IP protocol (1 to 255, {known})")
        if found.setdefault(int(port), int(number)) != int(number):
            raise click.BadParameter(f"port {port} is given two protocols")
    return found


def _within(digits: str, high: int) -> bool:
    # no more digits than int() takes without complaint
    return digits.isascii() and digits.isdecimal() and len(digits) < 9 and 0 < int(digits) <= high


@dataclass(frozen=True)
class _Item:
    """One packet: its frame where it has one, and what was found in it."""

    number: int
    frame: Frame | None
    data: bytes
    found: Dissection

    def to_json(self) -> dict[str, Any]:
        """One object a packet; the frame's part is null for hexadecimal."""
        frame = self.frame
        return {
            "schema": SCHEMA,
            "number": self.number,
            "time": None if frame is None else _time(frame.time_ns),
            "link": None if frame is None else LINK_NAMES.get(frame.link, str(frame.link)),
            "captured": len(self.data),
            "length": len(self.data) if frame is None else frame.length,
            **self.found.to_json(),
        }

    def lines(self, *, short: bool) -> Iterator[str]:
        """Text, ahead of it the frame's own line."""
        if self.frame is not None and not short:
            time = _time(self.frame.time_ns)
            told = f"#{self.number}" + (f"  {time}" if time else "")
            told += f"  {self.frame.length} octets"
            if self.frame.length > len(self.data):
                told += f", {len(self.data)} captured"
            yield told
        yield from self.found.lines(short=short)


def _time(nanoseconds: int | None) -> str | None:
    """RFC 3339 in UTC, to the nanosecond; None where it is unknown or beyond the calendar."""
    if nanoseconds is None:
        return None
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def _dissect_hex(data: bytes, form: str, ports: Ports) -> Dissection:
    if form == "auto":
        form = _guess(data)
    if form == "frame":
        return dissect_frame(_LINK_ETHERNET, data, ports)
    if form == "packet":
        return dissect_packet(data, ports)
    return dissect_payload(data)


def _guess(data: bytes) -> str:
    """An IP packet by its version, an Ethernet frame by its type and what follows, else a UDP payload.

    A UDP payload that begins as an IP packet does is one: the bare form.
    """
    if data[:1] and data[0] >> 4 in (4, 6):
        return "packet"
    kind = int.from_bytes(data[12:14], "big")
    version = data[14] >> 4 if len(data) > 14 else 0
    if (kind, version) in ((0x0800, 4), (0x86DD, 6)) or kind in (0x8100, 0x88A8):
        return "frame"
    return "payload"


def _from_hex(texts: Iterable[str], form: str, ports: Ports) -> Iterator[_Item]:
    number = 0
    for text in texts:
        packets = read_hex(text)
        if not packets:
            raise EncapError("there is no packet in the input", None, "a capture, or hexadecimal")
        for data in packets:
            number += 1
            yield _Item(number, None, data, _dissect_hex(data, form, ports))


def _from_stream(stream: IO[bytes], form: str, ports: Ports) -> Iterator[_Item]:
    start = b""
    while len(start) < 4 and (more := stream.read(4 - len(start))):
        start += more
    if is_capture(start):
        for frame in read_frames(stream, start):
            found = dissect_frame(frame.link, frame.data, ports, length=frame.length)
            yield _Item(frame.number, frame, frame.data, found)
        return
    octets = start + stream.read(_TEXT_MAX)
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise EncapError(
            "the input is neither a capture nor hexadecimal",
            0,
            "pcap, pcapng, or text; packets themselves in binary are not read",
        ) from None
    yield from _from_hex([text], form, ports)


def _open(name: str, stack: ExitStack) -> IO[bytes]:
    if name == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(open(name, "rb"))
    except OSError as error:
        hint = None
        if all(letter in "0123456789abcdefABCDEF:" for letter in name):
            hint = f"hexadecimal is given as --hex {name}"
        raise GutctlError(f"{name}: {error.strerror}", hint) from None


def _failed(error: EncapError, name: str) -> GutctlError:
    return GutctlError(f"{name}: {error}", error.hint)


@click.command("decode", short_help="Show packets header by header.")
@click.argument("file", required=False, metavar="[FILE|-]")
@click.option(
    "--port",
    "tunnel_ports",
    type=click.IntRange(1, 0xFFFF),
    multiple=True,
    help="UDP port that carries GUE and GUT-less (default 6080); may be repeated.",
)
@click.option(
    "--fou",
    "fou_ports",
    callback=_fou_ports,
    metavar="PORT:PROTOCOL",
    multiple=True,
    help="UDP port that carries one IP protocol alone; may be repeated.",
)
@click.option(
    "--hex",
    "hexes",
    multiple=True,
    metavar="OCTETS",
    help="A packet in hexadecimal instead of FILE; may be repeated.",
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["auto", "frame", "packet", "payload"]),
    default="auto",
    show_default=True,
    help="What hexadecimal is: an Ethernet frame, an IP packet, or a UDP payload.",
)
@click.option("--short", is_flag=True, help="Leave out plain fields, link headers and payload.")
@common
@pass_session
def decode(
    session: Session,
    file: str | None,
    tunnel_ports: tuple[int, ...],
    fou_ports: dict[int, int],
    hexes: tuple[str, ...],
    form: str,
    short: bool,
) -> None:
    """Show packets header by header, with every field, and verify their checksums.

    FILE is a capture (pcap or pcapng) or hexadecimal text as tcpdump -x, xxd or hexdump -C print
    it; - is standard input. A capture is followed as it comes:

    \b
        tcpdump -i eth0 -U -w - udp port 6080 | gutctl decode -

    With --json each packet is one object on one line.
    """
    if (file is None) == (not hexes):
        raise UsageError("give a FILE, - for standard input, or --hex OCTETS")
    ext_api.load()  # options of other packages have names, too
    ports = Ports(
        frozenset(tunnel_ports or (6080,)) - set(fou_ports),
        MappingProxyType(fou_ports),
    )
    with ExitStack() as stack:
        name = "--hex" if file is None else "standard input" if file == "-" else file
        if file is None:
            items = _from_hex(hexes, form, ports)
        else:
            items = _from_stream(_open(file, stack), form, ports)
        count, last = 0, None
        try:
            for item in items:
                _show(item, session.json, short, first=count == 0)
                count, last = count + 1, item
        except EncapError as error:
            raise _failed(error, name) from None
        except BrokenPipeError:
            raise  # of the output, not of the input
        except OSError as error:
            raise GutctlError(f"{name}: {error.strerror}") from None
    if count == 1 and last is not None and not last.found.layers and last.found.problem:
        if session.json:
            raise click.exceptions.Exit(ExitStatus.FAILED)  # the record has told why
        raise _failed(last.found.problem, name)


def _show(item: _Item, as_json: bool, short: bool, *, first: bool) -> None:
    if as_json:
        click.echo(json.dumps(item.to_json()))
    elif item.found.layers or item.frame is not None:
        lines = list(item.lines(short=short))
        click.echo("\n".join(lines if first else ["", *lines]))
