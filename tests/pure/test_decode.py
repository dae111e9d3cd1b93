# SPDX-License-Identifier: Apache-2.0
"""``gutctl decode`` as a user meets it: every kind of input, live input, and every refusal."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from gutctl import encap
from gutctl.cli import main
from gutctl.encap import Gue, Gutless

ROOT = Path(__file__).resolve().parents[2]


def ipv4(protocol: int, body: bytes, source: bytes = b"\x0a\x09\x00\x01") -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0) + source + b"\x0a\x09\x00\x02"
    return head[:10] + encap.checksum(head).to_bytes(2, "big") + head[12:] + body


def udp(payload: bytes, port: int = 6080) -> bytes:
    return ipv4(17, struct.pack("!HHHH", 50164, port, 8 + len(payload), 0) + payload)


PING = ipv4(1, bytes.fromhex("0800f7ff00000000"))
PAYLOAD = encap.encode(Gutless(4, encap.pad([encap.Group(7).option()])), PING)
PACKET = udp(PAYLOAD)
FRAME = bytes.fromhex("020000000002020000000001" + "0800") + PACKET
PACKET_LINES = [
    "IPv4 10.9.0.1 -> 10.9.0.2, UDP 50164 -> 6080, checksum none",
    "GUT-less  next IPv4, 8 octets of options, Check unused",
    "  group  7",
    "  pad    2",
    "IPv4 10.9.0.1 -> 10.9.0.2, ICMP echo request",
]


def capture(*frames: bytes, link: int = 1) -> bytes:
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)
    for frame in frames:
        out += struct.pack("<IIII", 1795239664, 5, len(frame), len(frame)) + frame
    return out


def decode(*args: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["decode", *args], input=given, catch_exceptions=False)


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def tcpdump_x(data: bytes, text: bool = False) -> str:
    lines = ["05:35:31.427205 IP 10.9.0.1.50164 > 10.9.0.2.6080: UDP, length 40"]
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        groups = " ".join(row[i : i + 2].hex() for i in range(0, len(row), 2))
        told = "".join(chr(octet) if 32 < octet < 127 else "." for octet in row)
        lines.append(f"\t0x{at:04x}:  {groups:39}" + (f"  {told}" if text else ""))
    return "\n".join(lines) + "\n"


def hexdump_c(data: bytes) -> str:
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        groups = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}".strip()
        lines.append(f"{at:08x}  {groups:48}  |{'.' * len(row)}|")
    return "\n".join([*lines, f"{len(data):08x}"]) + "\n"


def xxd(data: bytes) -> str:
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        groups = " ".join(row[i : i + 2].hex() for i in range(0, len(row), 2))
        lines.append(f"{at:08x}: {groups:39}  ab cd")
    return "\n".join(lines) + "\n"


HEX_FORMS = [
    lambda data: data.hex(),
    lambda data: data.hex(" "),
    lambda data: data.hex(":").upper(),
    lambda data: ", ".join(f"0x{octet:02x}" for octet in data),
    lambda data: "# a comment\n" + data.hex("\n", 8) + "\n",
    tcpdump_x,
    lambda data: tcpdump_x(data, text=True),
    hexdump_c,
    xxd,
]


@pytest.mark.parametrize("form", HEX_FORMS)
@pytest.mark.parametrize("data", [PACKET, PACKET[:-1]])
def test_hex_as_people_paste_it(form: Any, data: bytes) -> None:
    text = form(data)
    result = decode("--json", "-", given=text.encode())
    (record,) = records(result)
    assert record["captured"] == len(data)
    assert [layer["header"] for layer in record["layers"]][:3] == ["ipv4", "udp", "gutless"]


@pytest.mark.parametrize("form", [tcpdump_x, lambda data: data.hex(" ") + "\n\n", hexdump_c, xxd])
def test_many_packets_in_hex(form: Any) -> None:
    result = decode("--json", "-", given=(form(PACKET) + form(FRAME)).encode())
    assert [record["captured"] for record in records(result)] == [len(PACKET), len(FRAME)]


def test_text_of_hex() -> None:
    for data in (PACKET, FRAME):
        result = decode("--short", "--hex", data.hex())
        assert result.stdout.splitlines() == PACKET_LINES
    result = decode("--short", "--hex", PAYLOAD.hex())
    assert result.stdout.splitlines() == PACKET_LINES[1:]
    assert result.exit_code == 0


def test_what_hex_is_can_be_told() -> None:
    # a UDP payload whose first octets look like an Ethernet frame's
    odd = encap.encode(Gue(59, surplus=bytes(8) + b"\x08\x00\x45\x00" + bytes(8)))
    kinds = {}
    for form in ("auto", "frame", "packet", "payload"):
        result = decode("--json", "--as", form, "--hex", odd.hex())
        kinds[form] = [layer["header"] for layer in json.loads(result.stdout)["layers"]][:1]
        assert result.exit_code == (0 if kinds[form] else 1)
    assert kinds == {"auto": ["ethernet"], "frame": ["ethernet"], "packet": [], "payload": ["gue0"]}


def test_captures_from_a_file_and_from_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(capture(FRAME, FRAME[:-1]))
    from_file = decode("--json", str(path))
    assert from_file.stdout == decode("--json", "-", given=path.read_bytes()).stdout
    first, second = records(from_file)
    assert first["schema"] == 1
    assert (first["number"], first["time"], first["link"]) == (1, "2026-11-21T05:41:04.000005000Z", "ethernet")
    assert [layer["header"] for layer in first["layers"]] == ["ethernet", "ipv4", "udp", "gutless", "ipv4", "icmp"]
    assert first["problem"] is None
    assert second["problem"] is not None
    text = decode(str(path)).stdout
    assert text.startswith("#1  2026-11-21T05:41:04.000005000Z  ")
    assert "\n\n#2  " in text
    assert decode("--short", str(path)).stdout.splitlines()[: len(PACKET_LINES)] == PACKET_LINES


def test_ports() -> None:
    packet = udp(encap.encode(Gue(4), PING), port=7777)
    kinds = [
        layer["header"] for layer in records(decode("--json", "--port", "7777", "--hex", packet.hex()))[0]["layers"]
    ]
    assert kinds == ["ipv4", "udp", "gue0", "ipv4", "icmp"]
    packet = udp(PING, port=5555)
    for told in ("5555:4", "5555:IPv4"):
        kinds = [
            layer["header"] for layer in records(decode("--json", "--fou", told, "--hex", packet.hex()))[0]["layers"]
        ]
        assert kinds == ["ipv4", "udp", "fou", "ipv4", "icmp"]


def test_json_before_the_noun_means_the_same() -> None:
    result = CliRunner().invoke(main, ["--json", "decode", "--hex", PACKET.hex()])
    assert json.loads(result.stdout)["schema"] == 1


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        ([], 2, "give a FILE"),
        (["-", "--hex", "00"], 2, "give a FILE"),
        (["--port", "0", "-"], 2, "not in the range"),
        (["--port", "65536", "-"], 2, "not in the range"),
        (["--fou", "5555", "-"], 2, "no IP protocol"),
        (["--fou", "0:4", "-"], 2, "no UDP port"),
        (["--fou", "5555:0", "-"], 2, "no IP protocol"),
        (["--fou", "5555:256", "-"], 2, "no IP protocol"),
        (["--fou", "5555:bogus", "-"], 2, "sctp"),
        (["--fou", "5555:4", "--fou", "5555:6", "-"], 2, "two protocols"),
        (["--fou", "²:4", "-"], 2, "no UDP port"),
        (["--hex", "00 0"], 1, "hexadecimal digits"),
        (["--hex", "hello"], 1, "no hexadecimal"),
        (["--hex", ""], 1, "no packet"),
        (["--hex", "c0"], 1, "no format begins with 0xc0"),
        (["--hex", "80"], 1, "no GUT-less header"),
        (["/nonexistent/x"], 1, "No such file"),
        (["4500001c"], 1, "--hex 4500001c"),
        (["/"], 1, "Is a directory"),
    ],
)
def test_refusals(args: list[str], status: int, words: str) -> None:
    result = decode(*args)
    assert result.exit_code == status
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert "this should not happen" not in result.output


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"", "no packet"),
        (b"\x7fELF\x02\x01\xff", "neither a capture nor hexadecimal"),
        (b"hello, world\n", "line 1 is no hexadecimal"),
        (b"45 00\n4 5 0\nzz\n", "line 3 is no hexadecimal"),
        (b"0x0000:  4500 001c\n0x0010:  0000 0000\n", "after 4 octets comes offset 0x10"),
        (capture(FRAME)[:-1], "ends within frame 1"),
        (capture(FRAME)[:30], "ends within the header of frame 1"),
        (b"\xd4\xc3\xb2\xa1", "ends within its file header"),
    ],
)
def test_garbage_on_standard_input_is_a_sentence(given: bytes, words: str) -> None:
    result = decode("-", given=given)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "this should not happen" not in result.stderr


def test_frames_ahead_of_the_damage_are_shown() -> None:
    result = decode("--short", "-", given=capture(FRAME, FRAME)[:-1])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == PACKET_LINES


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"", capture(), capture(FRAME), b"0x0000: "]), st.binary(max_size=80), st.booleans())
def test_any_input_is_shown_or_refused(start: bytes, rest: bytes, as_json: bool) -> None:
    result = decode(*(["--json"] if as_json else []), "-", given=start + rest)
    assert result.exit_code in (0, 1)
    assert "this should not happen" not in result.output
    if as_json:
        assert all(json.loads(line)["schema"] == 1 for line in result.stdout.splitlines())


def run(*args: str, **how: Any) -> subprocess.Popen[bytes]:
    code = "import sys; from gutctl.cli import main; main(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **how,
    )


@contextmanager
def deadline(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a program that would be waited for in vain; reading from it then ends, and the test fails."""
    timer = threading.Timer(20, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@pytest.mark.parametrize("as_json", [True, False])
def test_each_packet_is_shown_as_it_comes(as_json: bool) -> None:
    """The next frame is written only when the one before it has been read back."""
    with run("decode", "--json" if as_json else "--short", "-") as process, deadline(process):
        assert process.stdin and process.stdout
        process.stdin.write(capture())
        for number in range(3):
            process.stdin.write(capture(FRAME)[24:])
            process.stdin.flush()
            if as_json:
                assert json.loads(process.stdout.readline())["number"] == number + 1
                continue
            for line in PACKET_LINES if number == 0 else ["", *PACKET_LINES]:
                assert process.stdout.readline().decode() == line + "\n"
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert out == b""


def test_who_reads_us_may_have_seen_enough() -> None:
    with run("decode", "-") as process, deadline(process):
        assert process.stdin and process.stdout
        process.stdin.write(capture(FRAME))
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        for _ in range(3):
            process.stdin.write(capture(FRAME)[24:])
        _, err = process.communicate(timeout=20)
    assert b"Traceback" not in err
    assert b"should not happen" not in err


def test_nothing_here_loads_the_netlink_library() -> None:
    code = (
        "import sys; from gutctl.cli import main\n"
        "status = main(['decode', '--hex', '00040000'], standalone_mode=False)\n"
        "assert status == 0, status\n"
        "heavy = sorted(m for m in sys.modules if m.split('.')[0] in ('pyroute2', 'jinja2', 'asyncio', 'scapy'))\n"
        "print(heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
