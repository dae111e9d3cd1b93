# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE 0 as netlink attributes, packets with them, and what a port says about both."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

import rawnl
from inject import Bench, Case, Target, inner

from gutctl.encap import Cookie, Dropped, Gue, GueFields, encode, gue_pseudo_sum, receive_verdict, seal_gue

COOKIE = bytes(range(1, 33))
GROUP = 0x01020304


def asked(
    where: str,
    *,
    group: int | None = None,
    csum: int | None = None,
    cookie: bytes | None = None,
    name: bytes | None = None,
    clear: int | None = None,
) -> bytes:
    """The nest of a port or profile, with no check of it."""
    inside = b""
    if group is not None:
        inside += rawnl.u32("A_GUE_GROUP", group)
    if csum is not None:
        inside += rawnl.u8("A_GUE_CSUM", csum)
    if cookie is not None:
        inside += rawnl.attr(rawnl.n("A_GUE_COOKIE"), cookie)
    if name is not None:
        inside += rawnl.attr(rawnl.n("A_GUE_COOKIE_NAME"), name + b"\0")
    if clear is not None:
        inside += rawnl.u32("A_GUE_CLEAR", clear)
    return rawnl.nest(f"A_{where}_GUE", inside)


def attribute(fields: GueFields, where: str = "PORT") -> bytes:
    """The nest that asks for these fields."""
    cookie = fields.cookie.octets if fields.cookie else None
    return asked(where, group=fields.group, csum=int(fields.csum), cookie=cookie)


def cookie(size: int) -> Cookie:
    return Cookie.of(COOKIE[:size])


def pseudo(bench: Bench, target: Target, *, summed: bool = True) -> int:
    """The sum of addresses and ports of what the bench sends to a port."""
    source, destination = bench.pair.ends(target.family)
    sender = (bench.senders if summed else bench.unsummed)[target.family]
    return gue_pseudo_sum(ip_address(source), ip_address(destination), sender.getsockname()[1], target.port)


def packet(header: Gue, ends: int, version: int = 4, data: bytes = b"payload") -> bytes:
    """A header around a packet that reaches the sink, its checksum made right where it has one."""
    behind = inner(version, data)
    return encode(seal_gue(header, behind, ends) if header.checksum else header, behind)


def expect(payloads: Iterable[bytes], required: GueFields, ends: int) -> list[Case]:
    """The payloads, each with the verdict of gutctl.encap on a port that requires the fields; sorted by that."""
    cases: list[Case] = []
    for payload in payloads:
        said = receive_verdict(payload, gue=required, pseudo=ends)
        cases.append((payload, said.reason if isinstance(said, Dropped) else ""))
    return sorted(cases, key=lambda case: case[1])
