# SPDX-License-Identifier: Apache-2.0
"""Refusals: every errno is some error for people, and the kernel's words come through."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gutctl import errors
from gutctl._nl import extack
from gutctl._nl.errors import KernelRefusal, family_missing, translate
from gutctl._nl.family import PORT
from gutctl.errors import ExitStatus, GutctlError

KINDS = [
    ("EEXIST", errors.ConflictError, ExitStatus.CONFLICT),
    ("EADDRINUSE", errors.InUseError, ExitStatus.IN_USE),
    ("EBUSY", errors.InUseError, ExitStatus.IN_USE),
    ("ENOENT", errors.NotFoundError, ExitStatus.NOT_FOUND),
    ("ENODEV", errors.NotFoundError, ExitStatus.NOT_FOUND),
    ("ENETUNREACH", errors.NotFoundError, ExitStatus.NOT_FOUND),
    ("EHOSTUNREACH", errors.NotFoundError, ExitStatus.NOT_FOUND),
    ("EPERM", errors.NotPermittedError, ExitStatus.NOT_PERMITTED),
    ("EACCES", errors.NotPermittedError, ExitStatus.NOT_PERMITTED),
    ("EOPNOTSUPP", errors.UnsupportedError, ExitStatus.UNSUPPORTED),
    ("EAFNOSUPPORT", errors.UnsupportedError, ExitStatus.UNSUPPORTED),
    ("EINVAL", GutctlError, ExitStatus.FAILED),
    ("ERANGE", GutctlError, ExitStatus.FAILED),
    ("ENOSPC", GutctlError, ExitStatus.FAILED),
    ("ENOMEM", GutctlError, ExitStatus.FAILED),
    ("EADDRNOTAVAIL", GutctlError, ExitStatus.FAILED),
]


@pytest.mark.parametrize(("name", "kind", "status"), KINDS)
def test_kind_of_error(name: str, kind: type[GutctlError], status: ExitStatus) -> None:
    code = getattr(errno, name)
    error = translate("port 6080/udp", KernelRefusal(code))
    assert type(error) is kind
    assert (error.status, error.errno) == (status, code)


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_every_errno_is_an_error_for_people(code: int) -> None:
    error = translate("link west", KernelRefusal(code))
    assert isinstance(error, GutctlError)
    assert error.errno == code
    assert error.message.startswith("link west: ")
    assert len(error.message) > len("link west: ")


def test_the_kernels_sentence_comes_first() -> None:
    refusal = KernelRefusal(errno.EINVAL, "port 0 is no port.", "port")
    assert translate("port 0/udp", refusal).message == "port 0/udp: port 0 is no port"


def test_the_attribute_is_named_where_the_sentence_does_not() -> None:
    refusal = KernelRefusal(errno.ERANGE, "integer out of range", "source.prefix-len")
    assert translate("port 1/udp", refusal).message.endswith("integer out of range (attribute source.prefix-len)")
    refusal = KernelRefusal(errno.EINVAL, missing="port")
    assert translate("port 1/udp", refusal).message.endswith("(missing attribute port)")


def test_hints() -> None:
    assert "CAP_NET_ADMIN" in (translate("x", KernelRefusal(errno.EPERM)).hint or "")
    assert translate("x", KernelRefusal(errno.EPERM), hint="other").hint == "other"
    assert family_missing().hint == "modprobe gutless"
    assert family_missing().status is ExitStatus.UNSUPPORTED


# What the kernel sends: an answer built by hand, from include/uapi/linux/netlink.h


def attr(number: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)


SOURCE = attr(0x8000 | 10, attr(1, bytes(4)) + attr(3, b"\x21"))
REQUEST_ATTRS = attr(1, b"\x02") + attr(2, b"\x17\xc0") + SOURCE
REQUEST = struct.pack("=IHHIIBBH", 20 + len(REQUEST_ATTRS), 42, 5, 7, 0, 2, 1, 0) + REQUEST_ATTRS
AT_PORT = REQUEST.index(attr(2, b"\x17\xc0"))
AT_SOURCE = REQUEST.index(SOURCE)
AT_PREFIX = REQUEST.index(attr(3, b"\x21"))


def answer(code: int, tlvs: bytes, *, capped: bool = False, kind: int = 2) -> bytes:
    flags = (0x200 if tlvs else 0) | (0x100 if capped else 0)
    body = struct.pack("=i", -code)
    if kind == 2:
        body += REQUEST[:16] if capped else REQUEST
    body += tlvs
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 7, 0) + body


def heard(data: bytes) -> list[KernelRefusal]:
    return [refusal for _, refusal in extack.refusals(data, PORT)]


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


@pytest.mark.parametrize(
    ("where", "name"), [(AT_PORT, "port"), (AT_SOURCE, "source"), (AT_PREFIX, "source.prefix-len"), (4, None)]
)
def test_the_offset_leads_to_the_name(where: int, name: str | None) -> None:
    tlvs = attr(1, b"no good\0") + attr(2, u32(where))
    assert heard(answer(errno.EINVAL, tlvs)) == [KernelRefusal(errno.EINVAL, "no good", name)]


def test_a_missing_attribute_is_named() -> None:
    assert heard(answer(errno.EINVAL, attr(5, u32(2))))[0].missing == "port"
    inside = attr(5, u32(3)) + attr(6, u32(AT_SOURCE))
    assert heard(answer(errno.EINVAL, inside))[0].missing == "prefix-len"


def test_a_capped_answer_has_its_words_still() -> None:
    assert heard(answer(errno.EPERM, attr(1, b"no\0"), capped=True)) == [KernelRefusal(errno.EPERM, "no")]


def test_an_answer_without_words() -> None:
    assert heard(answer(errno.EBUSY, b"")) == [KernelRefusal(errno.EBUSY)]


def test_an_acknowledgement_is_no_refusal() -> None:
    assert heard(answer(0, b"")) == []
    assert heard(answer(0, attr(1, b"a warning\0"))) == []


def test_a_failed_dump_is_noticed() -> None:
    assert heard(answer(errno.EMSGSIZE, attr(1, b"too much\0"), kind=3)) == [
        KernelRefusal(errno.EMSGSIZE, "too much")
    ]


def test_an_interrupted_dump_is_noticed() -> None:
    data = struct.pack("=IHHII", 20, 42, 0x12, 7, 0) + bytes(4)
    assert heard(data + answer(0, b"", kind=3)) == [KernelRefusal(extack.DUMP_INTERRUPTED)]


@given(st.binary(max_size=300))
def test_no_octets_confuse_it(data: bytes) -> None:
    for _, refusal in extack.refusals(data, PORT):
        assert refusal.code != 0


@given(st.integers(0, len(REQUEST) + 8), st.integers(0, 400))
def test_no_offset_confuses_it(where: int, cut: int) -> None:
    tlvs = attr(1, b"no good\0") + attr(2, u32(where)) + attr(5, u32(where)) + attr(6, u32(cut))
    for refusal in heard(answer(errno.EINVAL, tlvs)[:cut]):
        assert refusal.sentence in ("no good", None)
