# SPDX-License-Identifier: Apache-2.0
"""Octets that a tunnel adds, and the MTU that is left. All sizes in octets."""

from __future__ import annotations

from typing import Literal

from gutctl._wire.error import EncapError, need_int

UDP_OCTETS = 8
IP_OCTETS = {4: 20, 6: 40}
"""Outer IP header without options, by family."""

UDP_LENGTH_MAX = 65535
"""The UDP length field has 16 bits, and covers the UDP header (RFC 768)."""

_KINDS = {
    # link kind: (outer family, octets the kind itself puts behind the tunnel header)
    "ipip": (4, 0),
    "sit": (4, 0),
    "ip6tnl": (6, 0),
    "gre": (4, 4),
    "gretap": (4, 4 + 14),
    "ip6gre": (6, 4),
    "ip6gretap": (6, 4 + 14),
}

Kind = Literal["ipip", "sit", "ip6tnl", "gre", "gretap", "ip6gre", "ip6gretap"]
Form = Literal["fou", "bare", "gue", "gutless"]


def base_octets(form: str, option_words: int = 0, *, bare: bool = True, check: bool = False) -> int:
    """Octets of the tunnel header between UDP and what follows.

    ``form``: ``fou``, ``bare``, ``gue`` or ``gutless``. ``option_words``: 4-octet words of options,
    or of GUE fields, 0-31. ``bare``: what follows is IP, so that ``gutless`` sends nothing at all
    unless there are options or a Check word (docs/protocol.md, section 3).
    Raises EncapError for an unknown format, or one that has no room for options.
    """
    need_int("the number of option words", option_words, 0, 31)
    if form in ("fou", "bare"):
        if option_words or check:
            raise EncapError(f"format {form} has no header", hint="options and Check want gutless")
        return 0
    if form == "gue":
        return 4 + 4 * option_words
    if form == "gutless":
        return 0 if bare and not option_words and not check else 4 + 4 * option_words
    raise EncapError(f"unknown format {form!r}", hint="fou, bare, gue or gutless")


def overhead(
    form: str,
    family: int,
    kind: str | None = None,
    option_words: int = 0,
    *,
    check: bool = False,
    encap_limit: bool = False,
    key: bool = False,
) -> int:
    """Octets that a tunnel adds to an inner packet: outer IP, UDP, tunnel header, what the kind adds.

    ``family``: 4 or 6, that of the outer header. ``kind``: the kernel's link kind; None: an IP
    tunnel of that family. For ``gretap`` and ``ip6gretap`` the inner Ethernet header counts as
    overhead: the rest is what the inner IP packet may have. ``encap_limit``: ip6tnl and ip6gre
    with the tunnel encapsulation limit option of RFC 2473, 8 octets more (iproute2:
    ``encaplimit`` other than ``none``). ``key``: GRE with a key (RFC 2890), 4 octets more;
    checksum and sequence number are not reckoned with.
    Raises EncapError for what does not exist.
    """
    if family not in IP_OCTETS:
        raise EncapError(f"outer family {family!r}", hint="4 or 6")
    kind = kind or {4: "ipip", 6: "ip6tnl"}[family]
    if kind not in _KINDS:
        raise EncapError(f"unknown link kind {kind!r}", hint=", ".join(_KINDS))
    wanted, inside = _KINDS[kind]
    if wanted != family:
        raise EncapError(f"kind {kind} over IPv{family}", hint=f"its outer header is IPv{wanted}")
    if encap_limit and family == 4:
        raise EncapError("an encapsulation limit over IPv4", hint="only ip6tnl and ip6gre have one")
    if key and not inside:
        raise EncapError(f"kind {kind} with a key", hint="only GRE has one")
    base = base_octets(form, option_words, bare=inside == 0, check=check)
    return IP_OCTETS[family] + (8 if encap_limit else 0) + UDP_OCTETS + base + inside + (4 if key else 0)


def tunnel_mtu(
    path_mtu: int,
    form: str,
    family: int,
    kind: str | None = None,
    option_words: int = 0,
    *,
    check: bool = False,
    encap_limit: bool = False,
    key: bool = False,
) -> int:
    """The largest inner IP packet that passes a path of ``path_mtu`` whole.

    Never more than fits the UDP length field. Other arguments: :func:`overhead`.
    Raises EncapError where nothing is left.
    """
    extra = overhead(form, family, kind, option_words, check=check, encap_limit=encap_limit, key=key)
    left = min(path_mtu - extra, _max_inner(extra, family, encap_limit))
    if left <= 0:
        raise EncapError(
            f"a path MTU of {path_mtu}",
            hint=f"this tunnel's headers alone have {extra} octets",
        )
    return left


def path_mtu(
    inner_mtu: int,
    form: str,
    family: int,
    kind: str | None = None,
    option_words: int = 0,
    *,
    check: bool = False,
    encap_limit: bool = False,
    key: bool = False,
) -> int:
    """The path MTU that inner packets of ``inner_mtu`` need; the inverse of :func:`tunnel_mtu`.

    Raises EncapError for an inner packet that fits no UDP datagram.
    """
    extra = overhead(form, family, kind, option_words, check=check, encap_limit=encap_limit, key=key)
    need_int("the inner MTU", inner_mtu, 1, _max_inner(extra, family, encap_limit))
    return inner_mtu + extra


def max_inner(
    form: str, family: int, kind: str | None = None, option_words: int = 0, *, check: bool = False, key: bool = False
) -> int:
    """The largest inner IP packet whose UDP length, and over IPv4 whose IP total length, fits 16 bits."""
    return _max_inner(overhead(form, family, kind, option_words, check=check, key=key), family, False)


def _max_inner(extra: int, family: int, encap_limit: bool) -> int:
    # IPv4's total length counts its own header; IPv6's payload length counts extension headers
    uncounted = 0 if family == 4 else IP_OCTETS[6]
    return UDP_LENGTH_MAX - (extra - uncounted)
