# SPDX-License-Identifier: Apache-2.0
"""Packets in hexadecimal, as people paste them: plain, or the way tcpdump -x, xxd and hexdump -C print."""

from __future__ import annotations

import re

from gutctl._wire.error import EncapError

# "0x0010:  4500 0054 ..." and, two blanks on, perhaps the text of it (tcpdump, xxd)
_OFFSET_COLON = re.compile(
    r"\s*(?:0x)?([0-9a-f]{4,8}):\s+((?:[0-9a-f]{2})+(?: (?:[0-9a-f]{2})+)*)(?:\s{2,}.*|\s*)",
    re.IGNORECASE,
)
# "00000010  45 00 00 54 ...  ... |E..T|" (hexdump -C)
_OFFSET_COLUMN = re.compile(r"([0-9a-f]{7,8})\s{2,}((?:[0-9a-f]{2}\s+)*[0-9a-f]{2})\s*(?:\|.*)?", re.IGNORECASE)
_SEPARATORS = re.compile(r"0x|[\s:,.\-]", re.IGNORECASE)


def read_hex(text: str) -> list[bytes]:
    """The packets in a text.

    With offsets, each offset of 0 begins one and lines without an offset are skipped. Without, a
    blank line ends one, ``#`` begins a comment, and blanks, colons, commas, dashes, dots and 0x
    between octets do not count. Raises EncapError naming the line that is no hexadecimal.
    """
    lines = text.splitlines()
    matches = [_OFFSET_COLON.fullmatch(line) for line in lines]
    if not any(matches):
        matches = [_OFFSET_COLUMN.fullmatch(line) for line in lines]
    if any(matches):
        return _with_offsets([match for match in matches if match is not None])
    return _plain(lines)


def _with_offsets(matches: list[re.Match[str]]) -> list[bytes]:
    packets: list[bytearray] = []
    for match in matches:
        offset = int(match[1], 16)
        if offset == 0 or not packets:
            packets.append(bytearray())
        if offset != len(packets[-1]):
            raise EncapError(
                f"after {len(packets[-1])} octets comes offset 0x{offset:x}",
                None,
                "a line is missing or too long",
            )
        packets[-1] += bytes.fromhex(match[2])
    return [bytes(packet) for packet in packets]


def _plain(lines: list[str]) -> list[bytes]:
    packets, digits = [], ""
    for number, line in enumerate([*lines, ""], 1):
        told = line.split("#", 1)[0].strip()
        if told:
            more = _SEPARATORS.sub("", told)
            if not re.fullmatch(r"[0-9a-fA-F]*", more):
                raise EncapError(
                    f"line {number} is no hexadecimal: {told[:40]!r}",
                    None,
                    "octets as two digits each, or the output of tcpdump -x",
                )
            digits += more
        elif not line.strip() and digits:
            if len(digits) % 2:
                raise EncapError(
                    f"{len(digits)} hexadecimal digits, up to line {number}",
                    None,
                    "an octet has two",
                )
            packets.append(bytes.fromhex(digits))
            digits = ""
    return packets
