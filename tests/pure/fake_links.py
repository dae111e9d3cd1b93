# SPDX-License-Identifier: Apache-2.0
"""The links of a namespace in memory, with the kernel's refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gutctl.door import Netns
from gutctl.errors import ConflictError, GutctlError, NotFoundError, UnsupportedError
from gutctl.kinds import KINDS
from gutctl.model import Link

if TYPE_CHECKING:
    from fake_kernel import Machine, Namespace


class FakeLinks:
    """rtnetlink's half of a door."""

    machine: Machine
    name: str

    @property
    def space(self) -> Namespace:
        """What the namespace holds."""
        return self.machine.spaces[self.name]

    # ---- links ----

    def links(self) -> list[Link]:
        return [link for link in self.space.links.values() if link.remote is not None]

    def link(self, name: str) -> Link | None:
        return self.space.links.get(name)

    def _need(self, name: str) -> Link:
        if name not in self.space.links:
            raise NotFoundError(f"there is no device {name}")
        return self.space.links[name]

    def _check_link(self, link: Link) -> None:
        if link.kind not in KINDS:
            raise UnsupportedError(f"unknown kind {link.kind}")
        gre = "gre" in link.kind
        if link.protocol not in ({0} if gre else {0, 4} if link.kind == "ipip" else {0, 4, 41}):
            raise GutctlError(f"kind {link.kind} with protocol {link.protocol}")
        if not gre and (link.ikey, link.okey) != (None, None):
            raise GutctlError("no GRE, no key")
        if link.remote is None or (link.remote.version == 6) != link.kind.startswith("ip6"):
            raise GutctlError("the remote address is not of the kind's family")
        if len(link.alias) > 255:
            raise GutctlError("the alias is too long")
        self._check_mtu(link, link.mtu)

    def _check_mtu(self, link: Link, mtu: int | None) -> None:
        least = 1280 if link.kind == "sit" or (link.kind, link.protocol) == ("ip6tnl", 41) else 68
        # UDP and the base header; and what a profile's number says
        added = 8 + 4 * (link.encap_type == 5) + 4 * (link.encap_flags >> 11)
        if "gre" in link.kind:
            added += (4 if link.okey is None else 8) + (14 if link.kind.endswith("tap") else 0)
        # IPv6's payload length does not count the outer header, but only ip6tnl's "any" and "ipv6" know it
        added += 0 if link.kind == "ip6tnl" and link.protocol != 4 else 40 if link.kind.startswith("ip6") else 20
        if mtu is not None and not least <= mtu <= 65535 - added:
            raise GutctlError("mtu less than device minimum")

    def _pair_free(self, link: Link, changing: bool = False) -> None:
        # a change of ip6gretap looks for ip6gre: net/ipv6/ip6_gre.c, ip6gre_tunnel_locate()
        kind = "ip6gre" if changing and link.kind == "ip6gretap" else link.kind
        # a moved device stays in the table of the namespace it sends from
        mine = list(self.machine.spaces).index(self.name)
        for name, space in self.machine.spaces.items():
            for other in space.links.values():
                sends = name == self.name if other.link_netnsid is None else (other.link_netnsid == mine)
                if sends and other.name != link.name and (
                    (other.kind, other.local, other.remote, other.ikey, other.device)
                    == (kind, link.local, link.remote, link.ikey, link.device)
                ):  # fmt: skip
                    raise ConflictError("a tunnel with the same ends exists")

    def link_add(self, link: Link) -> None:
        self.machine.changing(f"link_add {link.name}")
        self._check_link(link)
        if link.name in self.space.links:
            raise ConflictError(f"the name {link.name} is taken")
        self._pair_free(link)
        self.machine.next_ifindex += 1
        self.space.links[link.name] = replace(link, up=False, addresses=(), ifindex=self.machine.next_ifindex)

    def link_set(
        self,
        name: str,
        *,
        mtu: int | None = None,
        up: bool | None = None,
        alias: str | None = None,
        gso_segments: int | None = None,
        netns: Netns = None,
    ) -> None:
        self.machine.changing(f"link_set {name}")
        link = self._need(name)
        self._check_mtu(link, mtu)
        if mtu is not None:
            link = replace(link, mtu=mtu)
        if alias is not None:
            if len(alias) > 255:
                raise GutctlError("the alias is too long")
            link = replace(link, alias=alias)
        if gso_segments is not None:
            link = replace(link, gso_segments=gso_segments)
        if up and link.encap_type == 0:
            raise AssertionError("plain packets would leave")
        if up is not None:
            kept = tuple(a for a in link.addresses if ":" not in a)
            link = replace(link, up=up, addresses=link.addresses if up else kept)
        if netns is not None:
            target = self.machine.name_of(netns)
            if name in self.machine.spaces[target].links:
                raise ConflictError(f"the name {name} is taken there")
            home = link.link_netnsid
            if home is None:
                home = list(self.machine.spaces).index(self.name)
            del self.space.links[name]
            stays = list(self.machine.spaces)[home] == target
            self.machine.spaces[target].links[name] = replace(
                link, up=False, addresses=(), link_netnsid=None if stays else home
            )
            return
        self.space.links[name] = link

    def link_change(self, link: Link) -> None:
        old = self._need(link.name)
        if old.up:
            raise GutctlError("plain packets would leave: the link must be down")
        # it is gone before anything is looked at, and does not come back when something is refused
        self.space.links[link.name] = replace(old, encap_type=0, encap_flags=0, encap_sport=0, encap_dport=0)
        self.machine.changing(f"link_change {link.name}")
        self._check_link(link)
        if (old.kind, old.protocol) != (link.kind, link.protocol):
            raise GutctlError("a link keeps its kind")
        self._pair_free(link, changing=True)
        self.space.links[link.name] = replace(
            link,
            mtu=old.mtu if link.mtu is None else link.mtu,
            up=old.up,
            addresses=old.addresses,
            ifindex=old.ifindex,
            link_netnsid=old.link_netnsid,
        )

    def link_del(self, name: str) -> None:
        self.machine.changing(f"link_del {name}")
        self._need(name)
        del self.space.links[name]

    def address_add(self, name: str, cidr: str) -> None:
        self.machine.changing(f"address_add {name} {cidr}")
        link = self._need(name)
        if cidr in link.addresses:
            raise ConflictError("the address is there already")
        self.space.links[name] = replace(link, addresses=(*link.addresses, cidr))

    def address_del(self, name: str, cidr: str) -> None:
        self.machine.changing(f"address_del {name} {cidr}")
        link = self._need(name)
        if cidr not in link.addresses:
            raise NotFoundError("no such address")
        self.space.links[name] = replace(link, addresses=tuple(a for a in link.addresses if a != cidr))
