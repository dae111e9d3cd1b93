# SPDX-License-Identifier: Apache-2.0
"""What the kernel says beside an errno: NLMSG_ERROR and NLMSG_DONE, octet by octet.

pyroute2 keeps the sentence only, and drops the errno of an interrupted or
failed dump. Here the offending attribute's name is found too: by the offset
(NLMSGERR_ATTR_OFFS) in the request that the kernel sends back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from .errors import KernelRefusal
from .family import AttrSet
from .tlv import attributes

__all__ = ["DUMP_INTERRUPTED", "attribute_at", "refusals"]

_HEADER: Final = struct.Struct("=IHHII")
_ERRNO: Final = struct.Struct("=i")
_U32: Final = struct.Struct("=I")

_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLM_F_DUMP_INTR: Final = 0x10
_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200
_MSG, _OFFS, _MISS_TYPE, _MISS_NEST = 1, 2, 5, 6

DUMP_INTERRUPTED: Final = -1
"""Stands for the flag NLM_F_DUMP_INTR: the tables changed under a dump."""


def _align(length: int) -> int:
    return (length + 3) & ~3


def attribute_at(request: bytes, start: int, where: int, table: AttrSet) -> str | None:
    """Path of the attribute at (or around) an offset in a request, None when it is not in the table.

    ``start`` is where the attributes begin: behind the netlink and the family header.
    """
    names: list[str] = []
    here: AttrSet | None = table
    end = len(request)
    while here is not None:
        for at, kind, value, stop in attributes(request, start, end):
            if at <= where < stop:
                attr = here.number(kind)
                if attr is None:
                    return ".".join(names) or None
                names.append(attr.name)
                if at == where or where < value:
                    return ".".join(names)
                here, start, end = attr.nested, value, stop
                break
        else:
            break
    return ".".join(names) or None


def _refusal(code: int, tlvs: bytes, request: bytes, table: AttrSet | None, family_header: int) -> KernelRefusal:
    found: dict[int, bytes] = {}
    for _, kind, value, stop in attributes(tlvs, 0, len(tlvs)):
        found[kind] = tlvs[value:stop]
    refusal = KernelRefusal(code)
    if _MSG in found:
        refusal.sentence = found[_MSG].rstrip(b"\0").decode("utf-8", "replace")
    if table is None:
        return refusal
    start = _HEADER.size + family_header
    if len(found.get(_OFFS, b"")) == 4:
        refusal.attribute = attribute_at(request, start, _U32.unpack(found[_OFFS])[0], table)
    if len(found.get(_MISS_TYPE, b"")) == 4:
        inside: AttrSet | None = table
        if len(found.get(_MISS_NEST, b"")) == 4:
            path = attribute_at(request, start, _U32.unpack(found[_MISS_NEST])[0], table)
            for name in path.split(".") if path else ():
                inside = inside[name].nested if inside is not None else None
        attr = inside.number(_U32.unpack(found[_MISS_TYPE])[0]) if inside is not None else None
        refusal.missing = attr.name if attr is not None else None
    return refusal


def refusals(data: bytes, table: AttrSet | None, family_header: int = 4) -> Iterator[tuple[int, KernelRefusal]]:
    """Sequence number and refusal of every message in a datagram that is one."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        body = data[offset + _HEADER.size : offset + length]
        if flags & _NLM_F_DUMP_INTR:
            yield sequence, KernelRefusal(DUMP_INTERRUPTED)
        if kind in (_NLMSG_ERROR, _NLMSG_DONE) and len(body) >= _ERRNO.size:
            code = -_ERRNO.unpack_from(body)[0]
            request, tlvs = b"", body[_ERRNO.size :]
            if kind == _NLMSG_ERROR:
                # the request comes back whole, its header alone when capped
                size = _HEADER.size
                if not flags & _NLM_F_CAPPED and len(tlvs) >= size:
                    size = _U32.unpack_from(tlvs)[0]
                request, tlvs = tlvs[:size], tlvs[_align(size) :]
            if code > 0:
                has_tlvs = bool(flags & _NLM_F_ACK_TLVS)
                yield sequence, _refusal(code, tlvs if has_tlvs else b"", request, table, family_header)
        offset += _align(length)
