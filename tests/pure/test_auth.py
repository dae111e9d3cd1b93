# SPDX-License-Identifier: Apache-2.0
"""Option auth in Python: tags, numbers that came, keys and their files."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from pathlib import Path

import pytest
import vectors

from gutctl._wire.auth import SKEW_NS, WINDOW, Key, KeyedOption, Replay, sign, verify
from gutctl._wire.options import Option, pad
from gutctl.encap import EncapError, Gutless, encode
from gutctl.errors import GutctlError, UsageError
from gutctl.ext_api import format_option, parse_option
from gutctl.keyfile import key_from, parse_key, read_secret, secret_of

SECRET = bytes(range(32))
VECTORS = vectors.blocks()["auth"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda one: one["name"])
def test_vectors_of_the_specification(vector: dict[str, object]) -> None:
    """By the words of the specification alone, and by the code; every bit that is covered is."""
    payload = bytes.fromhex(str(vector["payload"]).replace(" ", ""))
    secret, direction = bytes.fromhex(str(vector["secret"])), int(str(vector["direction"]))
    at = payload.index(b"\x5b\x1a") + 2
    key = Key.of(int.from_bytes(payload[at : at + 2], "big"), secret, direction=direction)
    assert verify(payload, [key], required=True) is None
    session = payload[6:14] if payload[4] == 0x5A else bytes(8)
    covered = bytearray(payload)
    covered[2:4] = bytes(2)
    covered[at + 10 : at + 26] = bytes(16)
    free = {2, 3}
    if b"\x3e\x03" in payload:
        mutable = payload.index(b"\x3e\x03") + 2
        free |= set(range(mutable, mutable + 3))
        covered[mutable : mutable + 3] = bytes(3)
    assert payload[at + 10 : at + 26] == hmac.new(secret, bytes([direction]) + session + covered, hashlib.sha256).digest()[:16]
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        assert (verify(bytes(flipped), [key], required=True) is None) == (bit // 8 in free), bit


def test_numbers_that_came() -> None:
    """Against the plain words: the highest so many, none of them twice, none below when they are so many."""
    chance = random.Random(3)
    replay, came = Replay(), set[int]()
    now = 10**18
    for step in range(6000):
        sequence = now + chance.randrange(10**6) + 1000 * step
        if chance.random() < 0.3 and came:
            sequence = chance.choice(sorted(came)[-1500:]) + chance.choice((-1, 0, 1))
        highest = sorted(came)[-WINDOW:]
        fits = sequence not in highest and (not highest or len(highest) < WINDOW or sequence > highest[0])
        assert (replay.test(sequence, now) is None) == fits
        if fits:
            replay.add(sequence)
            came.add(sequence)
        assert replay.seen == sorted(came)[-WINDOW:]


def test_without_state_the_clock_tells() -> None:
    replay = Replay()
    assert [replay.test(10**18 + away, 10**18) for away in (-SKEW_NS - 1, -SKEW_NS, 0, SKEW_NS, SKEW_NS + 1)] == [
        *("auth-time", None, None, None, "auth-time")
    ]
    replay.add(10**18)
    assert replay.test(2 * 10**18, 10**18) is None
    assert replay.test(10**18 - SKEW_NS - 1, 10**18) == "auth-time"


def test_what_signs_and_what_does_not() -> None:
    key = Key.of(7, SECRET)
    payload = encode(Gutless(4, pad([Option(0x5B, bytes(26))])), b"\x45")
    signed = sign(payload, key, 5)
    assert verify(signed, [key]) is None
    assert verify(signed, [Key.of(7, SECRET[::-1])]) == "auth-tag"
    assert verify(signed, [Key.of(7, SECRET, direction=1)]) == "auth-tag"
    assert verify(signed, [Key.of(8, SECRET)]) == "auth-key"
    plain = encode(Gutless(4), b"\x45")
    assert (verify(plain, [key]), verify(plain, [key], required=True)) == (None, "auth-missing")
    with pytest.raises(EncapError, match="no option auth"):
        sign(plain, key, 5)
    for wrong in ((70000, SECRET, 0), (7, SECRET[:15], 0), (7, bytes(65), 0), (7, SECRET, 2)):
        with pytest.raises(EncapError):
            Key.of(wrong[0], wrong[1], direction=wrong[2])


def kept(folder: Path, data: bytes, mode: int = 0o600) -> str:
    path = folder / "west.key"
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("octets", [16, 20, 32, 64])
@pytest.mark.parametrize("behind", [b"", b"\n"])
def test_a_file_holds_a_secret(tmp_path: Path, octets: int, behind: bytes) -> None:
    secret = (SECRET * 2)[:octets]
    for text in (secret.hex(), secret.hex().upper(), base64.b64encode(secret).decode()):
        assert read_secret(kept(tmp_path, text.encode() + behind)) == secret
    if octets == 32 and not behind:
        assert read_secret(kept(tmp_path, secret)) == secret


@pytest.mark.parametrize("data", [b"", b"secret\n", SECRET[:31], bytes(33), SECRET[:15].hex().encode(), (SECRET * 3).hex().encode()])
def test_a_file_without_one(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match="no secret in it") as refusal:
        read_secret(kept(tmp_path, data))
    assert "openssl rand" in str(refusal.value.hint)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o644])
def test_a_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    path = kept(tmp_path, SECRET, mode)
    with pytest.raises(UsageError, match="others may") as refusal:
        read_secret(path)
    assert refusal.value.hint == f"chmod 600 {path}"


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError):
            read_secret(str(path))


def test_the_secret_is_in_no_text(tmp_path: Path) -> None:
    key = key_from(7, kept(tmp_path, SECRET))
    option = KeyedOption.of(key)
    for text in (repr(key), str(key), repr(option), format_option(option)):
        assert SECRET.hex() not in text
        assert repr(SECRET) not in text
    assert key.fingerprint == hashlib.sha256(SECRET).hexdigest()[:16]


def test_as_people_write_it(tmp_path: Path) -> None:
    path = kept(tmp_path, SECRET)
    assert parse_key(f"7=@{path}", "--key") == Key.of(7, SECRET)
    assert parse_key(f"0x7=@{path},direction=1", "--key") == Key.of(7, SECRET, direction=1)
    option = parse_option(f"auth=7,key=@{path}")
    assert option == KeyedOption.of(Key.of(7, SECRET))
    assert option.encode() == bytes((0x5B, 26, 0, 7)) + bytes(24)
    assert parse_option(format_option(option)) == option
    assert option != parse_option("auth=7"), "without a key it is another"
    for wrong in ("7", f"@{path}", f"7={path}", f"65536=@{path}", f"-1=@{path}", f"x=@{path}", "7=@", f"7=@{path},direction=2"):
        with pytest.raises(UsageError):
            parse_key(wrong, "--key")


def test_a_secret_is_found_again(tmp_path: Path) -> None:
    """By the name that the kernel kept, if the fingerprint is that."""
    path = kept(tmp_path, SECRET)
    told = Key(7, Key.of(7, SECRET).fingerprint, path)
    assert secret_of(told) == SECRET
    kept(tmp_path, SECRET[::-1])
    with pytest.raises(GutctlError, match="holds another one"):
        secret_of(told)
    Path(path).unlink()
    with pytest.raises(GutctlError, match="not known any more"):
        secret_of(told)
    with pytest.raises(GutctlError, match="from no file"):
        secret_of(Key(7, told.fingerprint))
