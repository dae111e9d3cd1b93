# SPDX-License-Identifier: Apache-2.0
"""Valid headers of every format, for hypothesis."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

from gutctl import encap

T = TypeVar("T")

U8 = st.integers(0, 0xFF)
U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
U64 = st.integers(0, 0xFFFFFFFFFFFFFFFF)


def octets(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


def optional(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    return st.none() | strategy


remotes = st.builds(encap.RemoteChecksum, U16, U16)
securities = octets(8) | octets(16) | octets(32) | st.builds(encap.Hmac, U32, U16, U16, octets(32))


@st.composite
def gue_headers(draw: st.DrawFn) -> encap.Gue:
    bare = encap.Gue(
        protocol=draw(U8),
        control=draw(st.booleans()),
        group=draw(optional(U32)),
        security=draw(optional(securities)),
        fragment=draw(
            optional(
                st.builds(
                    encap.Fragment,
                    st.integers(0, 0x1FFF),
                    st.booleans(),
                    U8,
                    st.integers(0, 2**40 - 1),
                )
            )
        ),
        transform=draw(optional(st.builds(encap.Transform, U8, U8, U16))),
        remote=draw(optional(remotes)),
        checksum=draw(optional(st.builds(encap.HeaderChecksum, U16, U16))),
        nat=draw(optional(U16)),
        alternate=draw(optional(st.builds(encap.AlternateChecksum, U16, U32))),
        magic=draw(st.booleans()),
        private=draw(optional(st.builds(encap.Private, optional(remotes)))),
    )
    words = draw(st.integers(0, (128 - bare.octets) // 4))
    fields = {name: getattr(bare, name) for name in bare.__dataclass_fields__}
    return encap.Gue(**{**fields, "surplus": draw(octets(4 * words))})


addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6)
values = st.one_of(
    st.builds(encap.Group, U32),
    st.builds(
        lambda low, more: encap.RemoteOffload(2 * low, 2 * (low + more)),
        st.integers(0, 0x3FFF),
        st.integers(0, 0x3FFF),
    ),
    st.builds(encap.Session, U32, U32),
    st.builds(encap.Auth, U16, U64, octets(16)),
    st.builds(encap.ObservedAddress, addresses, U16),
    st.builds(encap.Timing, U32, U64),
    st.builds(
        encap.MinPathMtu,
        U16,
        st.integers(0, 0x7FFF).map(lambda n: 2 * n),
        st.booleans(),
    ),
)
_ONCE = (0x58, 0x59, 0x5A, 0x5B)
raw_options = st.builds(
    encap.Option,
    st.integers(1, 0xFF).filter(lambda kind: kind not in _ONCE),
    st.binary(max_size=40),
)


@st.composite
def gutless_headers(draw: st.DrawFn) -> encap.Gutless:
    wanted = draw(
        st.lists(
            raw_options | values.map(lambda value: value.option()) | st.just(encap.Option(0)),
            max_size=6,
        )
    )
    options: list[encap.Option] = []
    room = 124
    for option in wanted:
        if option.octets > room:
            continue
        if option.type in _ONCE and any(option.type == o.type for o in options):
            continue
        options.append(option)
        room -= option.octets
    control = draw(st.booleans())
    remote = any(option.type == 0x59 for option in options)
    return encap.Gutless(
        protocol=draw(U8 if control else st.integers(1, 0xFF)),
        options=encap.pad(options),
        check=0 if remote else draw(U16),
        control=control,
    )
