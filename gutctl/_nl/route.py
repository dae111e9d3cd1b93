# SPDX-License-Identifier: Apache-2.0
"""Requests to rtnetlink: links, addresses, routes, numbers of namespaces."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from typing import Any, Final

from gutctl.errors import GutctlError, NotFoundError, UnsupportedError, UsageError
from gutctl.model import ANY_SEGMENTS, ONE_BY_ONE, Address, Link

from . import links, netns
from .errors import KernelRefusal, translate
from .family import Attr, AttrSet
from .features import segmentation
from .sockets import ACK, DUMP, REPLY, Door, Message, message_class, plain, to_message
from .tlv import Attrs

__all__ = ["Route"]

_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _GETROUTE = 24, 26
_NEWNSID, _GETNSID = 88, 90
_CREATE: Final = 0x600  # NLM_F_CREATE | NLM_F_EXCL
_IFF_UP: Final = 1
_NODAD: Final = 2
# what the lookup of an unreachable, prohibit, blackhole and throw route gives as errno
_ROUTE_SAYS_NO: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.EAGAIN, errno.ESRCH}
)
_NO_ROUTE: Final = frozenset({6, 7, 8, 9})  # blackhole, unreachable, prohibit, throw

_LINK: Final = AttrSet(
    "link",
    (
        Attr("name", 3, "string"),
        Attr("mtu", 4, "u32"),
        Attr("info", 18, "nest", AttrSet("info", (Attr("kind", 1, "string"), Attr("data", 2, "binary")))),
        Attr("alias", 20, "string"),
        Attr("stats", 23, "binary"),
        Attr("netns-fd", 28, "u32"),
        Attr("netnsid", 37, "s32"),
        Attr("gso-segments", 40, "u32"),
    ),
)
_ADDR: Final = AttrSet("addr", (Attr("address", 1, "binary"), Attr("local", 2, "binary")))
_ROUTE: Final = AttrSet(
    "route",
    (
        Attr("dst", 1, "binary"),
        Attr("oif", 4, "u32"),
        Attr("prefsrc", 7, "binary"),
        Attr("metrics", 8, "nest", AttrSet("metrics", (Attr("mtu", 2, "u32"),))),
        Attr("mark", 16, "u32"),
    ),
)
_NSID: Final = AttrSet("nsid", (Attr("nsid", 1, "s32"), Attr("fd", 3, "u32")))

_LinkMessage: Final = message_class(
    _LINK, (("family", "B"), ("pad", "B"), ("type", "H"), ("index", "i"), ("flags", "I"), ("change", "I"))
)
_AddrMessage: Final = message_class(
    _ADDR, (("family", "B"), ("prefixlen", "B"), ("flags", "B"), ("scope", "B"), ("index", "I"))
)
_RouteMessage: Final = message_class(
    _ROUTE, tuple((n, "B") for n in ("family", "dst_len", "src_len", "tos", "table", "proto", "scope", "type")) + (("flags", "I"),)
)
_NsidMessage: Final = message_class(_NSID, (("family", "B"), ("pad", "B"), ("pad2", "H")))


class Route:
    """rtnetlink, through one door."""

    def __init__(self, door: Door) -> None:
        self._door = door
        for number, kind in (
            (_NEWLINK, _LinkMessage),
            (_NEWADDR, _AddrMessage),
            (_NEWROUTE, _RouteMessage),
            (_NEWNSID, _NsidMessage),
        ):
            door.speak(number, kind)

    def close(self) -> None:
        self._door.close()

    def _request(
        self, kind: type[Any], number: int, mode: int, what: str, attrs: Iterable[tuple[str, Any]], **fields: int
    ) -> list[Message]:
        message = to_message(kind, attrs, **fields)
        try:
            return self._door.request(message, number, mode)
        except KernelRefusal as refusal:
            raise translate(what, refusal) from None

    # Links

    def links(self) -> list[Link]:
        addresses: dict[int, list[str]] = {}
        for message in self._request(_AddrMessage, _GETADDR, DUMP, "addresses", []):
            _note_address(message, addresses)
        found = []
        for message in self._request(_LinkMessage, _GETLINK, DUMP, "links", []):
            link = _link(message, addresses)
            if link.kind in links.KINDS:
                found.append(link)
        return found

    def link(self, name: str) -> Link | None:
        attrs: Attrs = [("name", links.check_name(name))]
        try:
            answers = self._request(_LinkMessage, _GETLINK, REPLY, f"link {name}", attrs)
        except NotFoundError:
            return None
        if not answers:
            return None
        addresses: dict[int, list[str]] = {}
        try:
            index = answers[0]["index"]
            for message in self._request(_AddrMessage, _GETADDR, DUMP, "addresses", [], index=index):
                _note_address(message, addresses)
        except NotFoundError:
            return None  # gone between the two questions
        return _link(answers[0], addresses)

    def _tunnel(self, link: Link, mode: int, extra: Attrs) -> None:
        data = links.encode(link)
        attrs: Attrs = [("name", links.check_name(link.name)), *extra]
        attrs.append(("info", [("kind", link.kind), ("data", data)]))
        try:
            self._request(_LinkMessage, _NEWLINK, ACK | mode, f"link {link.name}", attrs)
        except UnsupportedError as error:
            if error.errno == errno.EOPNOTSUPP:
                error.hint = f"modprobe {_module(link.kind)}"
            raise
        except GutctlError as error:
            # an encapsulation that nobody has registered is EINVAL, without a word
            if error.errno == errno.EINVAL and link.encap_type > 3 and not os.path.exists("/sys/module/gutless"):
                missing = UnsupportedError(
                    f"link {link.name}: the kernel does not know encapsulation type {link.encap_type}", "modprobe gutless"
                )
                missing.errno = error.errno
                raise missing from None
            raise

    def link_add(self, link: Link) -> None:
        self._tunnel(link, _CREATE, [])
        # creation knows no alias, and some kinds pass over an MTU they do not like
        rest = _settings(link)
        if not rest:
            return
        try:
            self._request(_LinkMessage, _SETLINK, ACK, f"link {link.name}", [("name", link.name), *rest])
            if link.gso_segments != ANY_SEGMENTS:
                segmentation(link.name, not link.single)
        except BaseException:
            self.link_del(link.name)
            raise

    def link_change(self, link: Link) -> None:
        extra: Attrs = [("alias", link.alias), ("gso-segments", link.gso_segments)]
        if link.mtu is not None:
            extra.append(("mtu", link.mtu))
        self._tunnel(link, 0, extra)
        segmentation(link.name, not link.single)

    def link_set(
        self,
        name: str,
        mtu: int | None,
        up: bool | None,
        alias: str | None,
        gso_segments: int | None,
        namespace: str | int | None,
    ) -> None:
        attrs: Attrs = [("name", links.check_name(name))]
        if mtu is not None:
            attrs.append(("mtu", _mtu(mtu)))
        if alias is not None:
            attrs.append(("alias", _alias(alias)))
        if gso_segments is not None:
            attrs.append(("gso-segments", gso_segments))
        fields = {} if up is None else {"flags": _IFF_UP if up else 0, "change": _IFF_UP}
        if len(attrs) == 1 and not fields and namespace is None:
            return
        what = f"link {name}"
        if namespace is None:
            self._request(_LinkMessage, _SETLINK, ACK, what, attrs, **fields)
            if gso_segments is not None:
                segmentation(name, gso_segments not in (1, ONE_BY_ONE))
            return
        fd = netns.open_netns(namespace)
        try:
            self._request(_LinkMessage, _SETLINK, ACK, what, [*attrs, ("netns-fd", fd)], **fields)
        finally:
            os.close(fd)

    def link_del(self, name: str) -> None:
        self._request(_LinkMessage, _DELLINK, ACK, f"link {name}", [("name", links.check_name(name))])

    # Addresses

    def _address(self, number: int, mode: int, name: str, cidr: str) -> None:
        try:
            interface = ipaddress.ip_interface(cidr)
        except ValueError:
            raise UsageError(f"{cidr} is no address", "such as 10.9.0.1/30 or fd00::1/64") from None
        packed = interface.ip.packed
        v6 = interface.version == 6
        self._request(
            _AddrMessage,
            number,
            ACK | mode,
            f"address {cidr} of {name}",
            [("address", packed)] if v6 else [("local", packed), ("address", packed)],
            family=int(socket.AF_INET6 if v6 else socket.AF_INET),
            prefixlen=interface.network.prefixlen,
            # nobody else can have it: there is one peer, and waiting would delay the tunnel
            flags=_NODAD if v6 else 0,
            index=self.device(name),
        )

    def address_add(self, name: str, cidr: str) -> None:
        try:
            self._address(_NEWADDR, _CREATE, name, cidr)
        except GutctlError as error:
            # EACCES is what the kernel says then; who may not at all is told EPERM
            if error.errno != errno.EACCES or ":" not in cidr:
                raise
            off = GutctlError(
                f"address {cidr} of {name}: IPv6 is off on that device", f"sysctl net.ipv6.conf.{name}.disable_ipv6=0"
            )
            off.errno = error.errno
            raise off from None

    def address_del(self, name: str, cidr: str) -> None:
        self._address(_DELADDR, 0, name, cidr)

    def local_addresses(self) -> set[Address]:
        found: set[Address] = set()
        for message in self._request(_AddrMessage, _GETADDR, DUMP, "addresses", []):
            values = dict(plain(message))
            found.add(ipaddress.ip_address(values.get("local") or values["address"]))
        return found

    # Devices, routes, namespaces

    def device(self, name: str) -> int:
        try:
            return socket.if_nametoindex(links.check_name(name))
        except OSError:
            error = NotFoundError(f"there is no device {name}", "ip link")
            error.errno = errno.ENODEV
            raise error from None

    def device_name(self, ifindex: int) -> str | None:
        try:
            return socket.if_indextoname(ifindex)
        except (OSError, OverflowError):
            return None

    def route_mtu(self, remote: Address, mark: int) -> tuple[int, str, Address]:
        attrs: Attrs = [("dst", remote.packed)]
        if mark:
            attrs.append(("mark", mark))
        v6 = remote.version == 6
        family = int(socket.AF_INET6 if v6 else socket.AF_INET)
        fields = {"family": family, "dst_len": 128 if v6 else 32}
        try:
            answers = self._request(_RouteMessage, _GETROUTE, REPLY, f"route to {remote}", attrs, **fields)
        except GutctlError as refusal:
            if refusal.errno not in _ROUTE_SAYS_NO:
                raise
            missing = NotFoundError(f"no route to {remote}")
            missing.errno = refusal.errno
            raise missing from None
        values = dict(plain(answers[0])) if answers else {}
        if not values.get("oif") or answers[0]["type"] in _NO_ROUTE or not values.get("prefsrc"):
            error = NotFoundError(f"no route to {remote}")
            error.errno = errno.ENETUNREACH
            raise error
        device = self._request(_LinkMessage, _GETLINK, REPLY, f"device of the route to {remote}", [], index=values["oif"])
        link = dict(plain(device[0]))
        metric = dict(values.get("metrics", [])).get("mtu") or 0
        return metric or link["mtu"], link["name"], ipaddress.ip_address(values["prefsrc"])

    def nsid(self, fd: int) -> int:
        """Number that this namespace has for another; -1: none."""
        answers = self._request(_NsidMessage, _GETNSID, REPLY, "network namespace", [("fd", fd)])
        return int(dict(plain(answers[0])).get("nsid", -1)) if answers else -1


def _module(kind: str) -> str:
    return {"ip6tnl": "ip6_tunnel", "gre": "ip_gre", "gretap": "ip_gre", "ip6gre": "ip6_gre", "ip6gretap": "ip6_gre"}.get(
        kind, kind
    )


def _mtu(mtu: int) -> int:
    if not 0 <= mtu <= 0x7FFFFFFF:
        raise UsageError(f"MTU {mtu} is none")
    return mtu


def _alias(alias: str) -> str:
    if len(alias.encode()) > 255:
        raise UsageError("the alias of a link has at most 255 octets")
    return alias


def _settings(link: Link) -> Attrs:
    attrs: Attrs = []
    if link.alias:
        attrs.append(("alias", _alias(link.alias)))
    if link.mtu is not None:
        attrs.append(("mtu", _mtu(link.mtu)))
    if link.gso_segments != ANY_SEGMENTS:
        attrs.append(("gso-segments", link.gso_segments))
    return attrs


def _note_address(message: Message, addresses: dict[int, list[str]]) -> None:
    values = dict(plain(message))
    address = ipaddress.ip_address(values.get("local") or values["address"])
    # the kernel gives fe80:: addresses of its own accord; 169.254/16 somebody asked for
    if address.version == 6 and address.is_link_local:
        return
    addresses.setdefault(message["index"], []).append(f"{address}/{message['prefixlen']}")


def _link(message: Message, addresses: dict[int, list[str]]) -> Link:
    values = dict(plain(message))
    info = dict(values.get("info", []))
    kind = info.get("kind", "")
    tunnel = links.decode(kind, info.get("data", b"")) if kind in links.KINDS else links.Tunnel()
    # struct rtnl_link_stats64: packets, octets, errors, dropped, each received and sent
    stats = values.get("stats", b"").ljust(64, b"\0")
    rx, tx, rx_octets, tx_octets, _, tx_errors, _, tx_dropped = struct.unpack("=8Q", stats[:64])
    index = message["index"]
    return Link(
        name=values.get("name", ""),
        kind=kind,
        local=tunnel.local,
        remote=tunnel.remote,
        encap_type=tunnel.encap_type,
        encap_flags=tunnel.encap_flags,
        encap_sport=tunnel.encap_sport,
        encap_dport=tunnel.encap_dport,
        protocol=tunnel.protocol,
        ttl=tunnel.ttl,
        tos=tunnel.tos,
        pmtudisc=tunnel.pmtudisc,
        ikey=tunnel.ikey,
        okey=tunnel.okey,
        iflags=tunnel.iflags,
        oflags=tunnel.oflags,
        device=tunnel.device,
        mtu=values.get("mtu"),
        gso_segments=values.get("gso-segments", ANY_SEGMENTS),
        up=bool(message["flags"] & _IFF_UP),
        alias=values.get("alias", ""),
        addresses=tuple(addresses.get(index, ())),
        ifindex=index,
        link_netnsid=values.get("netnsid"),
        rx_packets=rx,
        rx_octets=rx_octets,
        tx_packets=tx,
        tx_octets=tx_octets,
        tx_dropped=tx_dropped + tx_errors,
    )
