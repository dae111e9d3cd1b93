# SPDX-License-Identifier: Apache-2.0
"""The same in words of iproute2, for ``-v``.

iproute2 has no word for the encapsulation types of the gutless module; the nearest
is that of the in-tree one, whose packets are the same on the wire.
"""

from __future__ import annotations

from gutctl.backend import FLAG_CSUM, FLAG_CSUM6, FLAG_REMCSUM, module_of
from gutctl.door import Netns
from gutctl.model import ANY_SEGMENTS, ONE_BY_ONE, Link, Module
from gutctl.tunnel import Tunnel

__all__ = ["ip", "link_add", "link_change", "segmentation"]


def ip(netns: Netns, *words: object) -> str:
    """An ``ip`` command, in a namespace if one is named."""
    where = ["-n", str(netns)] if netns is not None else []
    return " ".join(["ip", *where, *map(str, words)])


def _words(tunnel: Tunnel, link: Link) -> list[str]:
    words = ["type", link.kind]
    names = {0: "any", 4: "ipip" if link.kind == "sit" else "ipip6", 41: "ip6ip6"}
    if link.kind == "sit":
        names[41] = "ip6ip"
    if link.kind in ("sit", "ip6tnl"):
        words += ["mode", names.get(link.protocol, str(link.protocol))]
    words += ["remote", str(link.remote)]
    if link.local is not None:
        words += ["local", str(link.local)]
    word, inherited = ("ttl", "inherit") if tunnel.family == 4 else ("hoplimit", "inherit")
    words += [word, str(link.ttl) if link.ttl else inherited]
    if link.tos:
        words += ["tos" if tunnel.family == 4 else "tclass", "inherit" if link.tos == 1 else str(link.tos)]
    if link.okey is not None:
        words += ["key", str(link.okey)]
    if not link.pmtudisc:
        words.append("nopmtudisc")
    if tunnel.family == 6:
        words += ["encaplimit", "none"]
    words += ["encap", "gue" if tunnel.header else "fou"]
    words += ["encap-sport", str(link.encap_sport or "auto"), "encap-dport", str(link.encap_dport)]
    if link.encap_flags & FLAG_CSUM:
        words.append("encap-csum")
    if link.encap_flags & FLAG_CSUM6:
        words.append("encap-csum6")
    if link.encap_flags & FLAG_REMCSUM and not tunnel.backend.profiles:
        words.append("encap-remcsum")
    return words


def _remark(link: Link) -> str:
    if module_of(link) is not Module.GUTLESS:
        return ""
    return f"  # nearest: the in-tree module's word; here encap type {link.encap_type}"


def link_add(netns: Netns, tunnel: Tunnel, link: Link) -> tuple[str, ...]:
    """``ip link add``."""
    mtu = ["mtu", link.mtu] if link.mtu else []
    lines = [ip(netns, "link", "add", link.name, *mtu, *_words(tunnel, link)) + _remark(link)]
    if link.alias:
        lines.append(ip(netns, "link", "set", link.name, "alias", f"'{link.alias}'"))
    if link.single:
        lines += segmentation(netns, link.name, ONE_BY_ONE)
    return tuple(lines)


def link_change(netns: Netns, tunnel: Tunnel, link: Link, before: Link) -> tuple[str, ...]:
    """``ip link change``, and what packets the link takes where that is another thing than before."""
    line = ip(netns, "link", "change", link.name, *_words(tunnel, link)) + _remark(link)
    return (line, *segmentation(netns, link.name, link.gso_segments)) if link.single != before.single else (line,)


def segmentation(netns: Netns, name: str, limit: int) -> tuple[str, str]:
    """What a link takes: its features, and the limit that marks which they are."""
    on = "on" if limit == ANY_SEGMENTS else "off"
    words = ["tso", on, "tx-sctp-segmentation", on, "tx-udp-segmentation", on, "tx-gso-list", on]
    where = ["ip", "netns", "exec", str(netns)] if netns is not None else []
    return ip(netns, "link", "set", name, "gso_max_segs", limit), " ".join([*where, "ethtool", "-K", name, *words])
