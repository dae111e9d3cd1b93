# SPDX-License-Identifier: Apache-2.0
"""Captures: every variant of both formats, cut at every octet, damaged, and followed live."""

from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gutctl.encap import EncapError
from gutctl.pcap import Frame, is_capture, read_frames

SECOND = 1_000_000_000
NANO = 1_795_239_664 * SECOND + 123_456_789
MICRO = NANO - NANO % 1000

frames_strategy = st.lists(
    st.tuples(st.binary(max_size=80), st.integers(0, 2000), st.integers(0, 2**32 - 1)),
    max_size=5,
)


def pcap(
    frames: list[tuple[bytes, int, int]],
    order: str = "<",
    nano: bool = False,
    link: int = 1,
) -> bytes:
    """Frames of (data, octets that were cut off, nanoseconds since 1970)."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    for data, lost, stamp in frames:
        fraction = stamp % SECOND // (1 if nano else 1000)
        head = (stamp // SECOND, fraction, len(data), len(data) + lost)
        out += struct.pack(order + "IIII", *head) + data
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    body = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    return block(order, 0x0A0D0D0A, body)


def interface(order: str = "<", link: int = 1, snap: int = 0, options: bytes = b"") -> bytes:
    return block(order, 1, struct.pack(order + "HHI", link, 0, snap) + options)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(order: str, index: int, ticks: int, data: bytes, lost: int = 0) -> bytes:
    head = (index, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data) + lost)
    return block(order, 6, struct.pack(order + "IIIII", *head) + data)


def read(octets: bytes) -> list[Frame]:
    return list(read_frames(io.BytesIO(octets)))


@given(frames_strategy, st.sampled_from("<>"), st.booleans())
def test_pcap_in_both_byte_orders_and_resolutions(frames: list[tuple[bytes, int, int]], order: str, nano: bool) -> None:
    frames = [(data, lost, SECOND * (time % 2**31) + time) for data, lost, time in frames]
    unit = 1 if nano else 1000
    wanted = [
        Frame(number, 1, data, len(data) + lost, stamp - stamp % unit)
        for number, (data, lost, stamp) in enumerate(frames, 1)
    ]
    assert read(pcap(frames, order, nano)) == wanted


@given(frames_strategy, st.sampled_from("<>"))
def test_pcapng_in_both_byte_orders(frames: list[tuple[bytes, int, int]], order: str) -> None:
    octets = section(order) + interface(order)
    for data, lost, time in frames:
        octets += enhanced(order, 0, time * 1_000_003, data, lost)
        octets += block(order, 0x0BAD, b"a block nobody knows")
    wanted = [
        Frame(number, 1, data, len(data) + lost, time * 1_000_003 * 1000)
        for number, (data, lost, time) in enumerate(frames, 1)
    ]
    assert read(octets) == wanted


@pytest.mark.parametrize(
    ("resolution", "ticks"),
    [(b"\x06", MICRO // 1000), (b"\x09", NANO), (b"\x00", NANO // SECOND)],
)
def test_pcapng_time(resolution: bytes, ticks: int) -> None:
    options = option("<", 2, b"eth0") + option("<", 9, resolution)
    octets = section() + interface(options=options) + enhanced("<", 0, ticks, b"x")
    unit = 10 ** resolution[0]
    assert read(octets)[0].time_ns == ticks * SECOND // unit


def test_pcapng_time_in_powers_of_two_and_with_an_offset() -> None:
    options = option("<", 9, b"\x8a") + option("<", 14, struct.pack("<q", 1000))
    octets = section() + interface(options=options) + enhanced("<", 0, 512, b"x")
    assert read(octets)[0].time_ns == 1000 * SECOND + SECOND // 2


def test_pcapng_sections_interfaces_and_old_blocks() -> None:
    octets = section("<") + interface("<", 1) + interface("<", 101, snap=2)
    octets += enhanced("<", 1, 7, b"raw")
    octets += block("<", 3, struct.pack("<I", 3) + b"abc")
    old = struct.pack("<HHIIII", 1, 0, 0, 9, 2, 5) + b"ol"
    octets += block("<", 2, old)
    # a new section has its own byte order and interfaces
    octets += section(">") + interface(">", 276) + enhanced(">", 0, 8, b"sll")
    octets += section("<") + interface("<", 1, snap=2) + block("<", 3, struct.pack("<I", 9) + b"ab")
    assert read(octets) == [
        Frame(1, 101, b"raw", 3, 7000),
        Frame(2, 1, b"abc", 3, None),
        Frame(3, 101, b"ol", 5, 9000),
        Frame(4, 276, b"sll", 3, 8000),
        Frame(5, 1, b"ab", 9, None),
    ]


@pytest.mark.parametrize(
    "octets",
    [
        pcap([(b"abc", 0, NANO), (b"defg", 0, NANO)]),
        section() + interface() + enhanced("<", 0, 1, b"abc") + enhanced("<", 0, 2, b"defg"),
    ],
)
def test_a_capture_cut_at_any_octet_gives_the_frames_before(octets: bytes) -> None:
    whole = read(octets)
    assert len(whole) == 2
    ends_well = set()
    for size in range(len(octets)):
        frames, failed = [], False
        try:
            # one by one: those ahead of the damage are kept
            for frame in read_frames(io.BytesIO(octets[:size])):
                frames.append(frame)  # noqa: PERF402
        except EncapError as error:
            assert error.reason == "truncated"
            assert error.where == size
            failed = True
        assert frames == whole[: len(frames)]
        if not failed:
            ends_well.add(len(frames))
    # only the ends of frames, and of what stands before them, are ends of captures
    assert ends_well == {0, 1}


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"GIF89a", "no capture"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 1, 4, 0, 0, 0, 1), "version 1"),
        (pcap([]) + struct.pack("<IIII", 0, 0, 0x40001, 1), "said to have"),
        (section() + struct.pack("<II", 6, 13), "a block of 13"),
        (section() + struct.pack("<II", 6, 8), "a block of 8"),
        (section() + struct.pack("<II", 6, 0x2000000), "a block of"),
        (section()[:-4] + b"\0\0\0\0", "lengths differ"),
        (section()[:8] + b"\0\0\0\0" + section()[12:], "byte-order magic"),
        (section() + enhanced("<", 0, 1, b"x"), "interface 0"),
        (section() + interface() + block("<", 6, b"short"), "too short"),
        (
            section() + interface() + block("<", 6, struct.pack("<5I", 0, 0, 0, 9, 9)),
            "overruns",
        ),
    ],
)
def test_damage_is_named(octets: bytes, what: str) -> None:
    with pytest.raises(EncapError, match=what) as caught:
        read(octets)
    assert caught.value.where is not None


@given(
    st.sampled_from([b"", pcap([]), section(), section() + interface()]),
    st.binary(max_size=200),
)
@example(section()[:4], section()[4:])
def test_any_octets_give_frames_or_an_encap_error(start: bytes, rest: bytes) -> None:
    try:
        frames = read(start + rest)
    except EncapError as error:
        assert str(error)
    else:
        assert is_capture(start + rest)
        assert all(len(frame.data) <= len(rest) for frame in frames)


class Dribble:
    """A source that gives one octet at a time, as a slow pipe may."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def read(self, size: int, /) -> bytes:
        given, self.octets = self.octets[: min(size, 1)], self.octets[min(size, 1) :]
        return given


def test_short_reads() -> None:
    octets = pcap([(b"abc", 0, MICRO), (b"", 4, MICRO)])
    assert list(read_frames(Dribble(octets))) == read(octets)
    assert list(read_frames(Dribble(octets[4:]), octets[:4])) == read(octets)


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_a_frame_is_there_before_the_next_has_come(form: str) -> None:
    """A writer that waits for us to have seen each frame: buffering ahead would never end."""
    if form == "pcap":
        parts = [pcap([]), *(pcap([(bytes([n]), 0, 0)])[24:] for n in range(3))]
    else:
        parts = [
            section() + interface(),
            *(enhanced("<", 0, 0, bytes([n])) for n in range(3)),
        ]
    reading, writing = os.pipe()
    seen = threading.Semaphore(1)
    stuck = threading.Event()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as out:
            out.write(parts[0])
            for part in parts[1:]:
                if not seen.acquire(timeout=10):
                    stuck.set()
                    return
                out.write(part)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb") as stream:
        got = list(_counted(read_frames(stream), seen))
    thread.join()
    assert not stuck.is_set()
    assert [frame.data for frame in got] == [b"\0", b"\1", b"\2"]


def _counted(frames: Iterator[Frame], seen: threading.Semaphore) -> Iterator[Frame]:
    for frame in frames:
        yield frame
        seen.release()
