# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE on the command line: what is made, changed in place, refused; a cookie is never shown."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from cli_runner import must
from fake_kernel import ROOT, Machine

from gutctl.errors import GutctlError
from gutctl.model import Cookie, GueFields, Origin

SECRET, OTHER = bytes(range(0x61, 0x71)), bytes(range(0x71, 0x81))
PRINT = hashlib.blake2s(SECRET, digest_size=8).hexdigest()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "west.cookie"
    made.write_bytes(SECRET)
    made.chmod(0o600)
    return made


def tunnel(file: Path) -> str:
    return f"tunnel add west --remote 198.51.100.7 --format gue --gue-group 7 --gue-csum --gue-cookie @{file}"


def test_a_tunnel_sends_and_requires(machine: Machine, file: Path) -> None:
    """One word on it: its profile sends the fields, its port requires them; the MTU counts them."""
    done = must(machine, tunnel(file))
    assert done.err == ""
    space = machine.spaces[ROOT]
    (profile,), (port,), link = space.profiles.values(), space.ports.values(), space.links["west"]
    assert profile.gue == port.gue == GueFields(7, True, Cookie.of(SECRET))
    assert profile.number == 6 * 256 + 1 == link.encap_flags >> 3
    assert link.mtu == 1500 - 20 - 8 - 4 - 4 - 16 - 4
    assert (profile.origin, port.origin) == (Origin.TUNNEL, Origin.TUNNEL)
    assert link.single is False, "all segments have the same header"
    assert must(machine, tunnel(file)).out == "west: unchanged\n"
    record = must(machine, "tunnel show west --json").record["tunnel"]
    assert record["gue"] == {"group": 7, "csum": True, "cookie": {"octets": 16, "fingerprint": PRINT, "file": str(file)}}
    shown = must(machine, "tunnel show west").out + must(machine, "port show 6080").out + must(machine, f"profile show {profile.number}").out
    assert shown.count(f"group 7, checksum, cookie {PRINT} of 16 octets ({file})") == 3
    must(machine, "tunnel del west")
    assert machine.snapshot() == Machine().snapshot()


def test_no_output_has_the_cookie(machine: Machine, file: Path) -> None:
    lines = [tunnel(file), "tunnel set west --gue-group 8 --diff", "tunnel show west --json", "tunnel list --json"]
    lines += ["profile list --json", "port list --json", "stats --json", "port show 6080", tunnel(file).replace("add", "add --check")]
    said = ""
    for line in lines:
        result = must(machine, line, 3 if "--check" in line else 0)
        said += result.out + result.err
    assert PRINT in said
    for word in (SECRET.decode(), SECRET.hex(), SECRET.hex().upper(), repr(SECRET)):
        assert word not in said
    assert SECRET.decode() not in repr(Cookie.of(SECRET))


def test_a_tunnel_that_differs(machine: Machine, file: Path, tmp_path: Path) -> None:
    must(machine, tunnel(file))
    other = tmp_path / "other"
    other.write_text(OTHER.hex() + "\n")
    asked = tunnel(other).replace("--gue-group 7", "--gue-group 9").replace("--gue-csum ", "")
    refused = must(machine, asked, 3).err
    assert f"gue group 7 csum cookie {PRINT} (asked: group 9 cookie {Cookie.of(OTHER).fingerprint.hex()})" in refused
    assert f"gutctl tunnel set west --gue-group 9 --no-gue-csum --gue-cookie @{other}" in refused


def test_a_value_is_changed_in_place(machine: Machine, file: Path) -> None:
    """In the profile and in the port; what is not named stays, the cookie though nobody says it again."""
    must(machine, tunnel(file))
    link = machine.spaces[ROOT].links["west"]
    line = "tunnel set west --gue-group 8"
    checked = must(machine, f"{line} --check --diff", 8).out
    assert "~ profile 1537  gue group 7 csum" in checked
    assert "~ port 6080/udp  gue group 7 csum" in checked
    must(machine, line)
    space = machine.spaces[ROOT]
    wanted = GueFields(8, True, Cookie.of(SECRET))
    assert space.profiles[1537].gue == wanted
    assert next(iter(space.ports.values())).gue == wanted
    assert space.links["west"] == link
    assert must(machine, line).out == "west: unchanged\n"
    done = must(machine, "tunnel set west --gue-cookie none --no-gue-csum")
    assert "goes down for a moment" in done.err
    assert [profile.gue for profile in space.profiles.values()] == [GueFields(8)]
    must(machine, "tunnel set west --gue-group none")
    assert not space.profiles, "nothing needs one any more"
    assert next(iter(space.ports.values())).gue == GueFields()


@pytest.mark.parametrize("change", ["--no-gue-csum", "--csum remote", "--port 6081", "--gue-group none --port 7000"])
def test_what_is_made_anew_gets_the_cookie(machine: Machine, file: Path, change: str) -> None:
    """Another length is another profile, another number another port: the cookie is read from its file again."""
    must(machine, tunnel(file))
    must(machine, f"tunnel set west {change}")
    (profile,), (port,) = machine.spaces[ROOT].profiles.values(), machine.spaces[ROOT].ports.values()
    assert profile.gue == port.gue
    assert port.gue.cookie == Cookie.of(SECRET)


def test_without_its_file_nothing_is_made_anew(machine: Machine, file: Path) -> None:
    must(machine, tunnel(file))
    before = machine.snapshot()
    file.unlink()
    assert "no longer holds it" in must(machine, "tunnel set west --no-gue-csum", 1).err
    assert machine.snapshot() == before


def test_a_failure_puts_the_cookie_back(machine: Machine, file: Path, tmp_path: Path) -> None:
    """Out of its file, since the kernel does not tell it; where that is gone, what could not be undone is said."""
    must(machine, tunnel(file))
    before = machine.snapshot()
    other = tmp_path / "other"
    other.write_bytes(OTHER)
    for step in range(2):
        machine.fail_at = step
        must(machine, f"tunnel set west --gue-cookie @{other}", 1)
        assert machine.snapshot() == before
    machine.fail_at = 1
    file.unlink()
    said = must(machine, f"tunnel set west --gue-cookie @{other}", 1).err
    assert f"the cookie {PRINT} cannot be put back" in said
    must(machine, "tunnel set west --gue-group 9")


def test_ports_that_are_shared(machine: Machine, file: Path) -> None:
    """A port requires one thing of all: tunnels of the same fields share it, others are refused, nothing is changed."""
    must(machine, tunnel(file))
    must(machine, tunnel(file).replace("add west", "add east").replace("100.7", "100.8"))
    before = machine.snapshot()
    plain = must(machine, "tunnel add north --remote 198.51.100.9 --format gue", 3).err
    assert f"port 6080/udp is there and requires group 7 csum cookie {PRINT}" in plain
    assert "gutctl port set 6080 --gue-group none --no-gue-csum --gue-cookie none" in plain
    assert "requires" in must(machine, "tunnel set west --gue-group 8", 3).err
    assert machine.snapshot() == before
    must(machine, "tunnel add north --remote 198.51.100.9 --format gue --port 6081")
    must(machine, "tunnel del east")
    must(machine, "tunnel set west --gue-group 8")
    must(machine, "port add 7000 --any-source --gue-group 5")
    assert "--gue-group none" in must(machine, "tunnel add south --remote 198.51.100.10 --format gue --port 7000", 3).err
    must(machine, "tunnel add south --remote 198.51.100.10 --format gue --port 7000 --gue-group 5")


def test_a_port_that_somebody_changed(machine: Machine, file: Path) -> None:
    """Told as what it is, and mended by what is said."""
    must(machine, tunnel(file))
    must(machine, "port set 6080 --gue-group 8")
    said = must(machine, tunnel(file), 3).err
    assert "required of GUE's fields group 8 csum" in said
    assert "gutctl tunnel set west --gue-group 7" in said
    machine.requests.clear()
    must(machine, "tunnel set west --gue-group 7")
    assert machine.requests == ["port_set 6080"]
    assert must(machine, tunnel(file)).out == "west: unchanged\n"


def test_ports(machine: Machine, file: Path) -> None:
    line = f"port add 6080 --from 198.51.100.0/24 --accept gue0 --gue-csum --gue-cookie @{file}"
    assert "requires checksum, cookie" in must(machine, line).out
    assert "unchanged" in must(machine, line).out
    differs = must(machine, line.replace("--gue-csum ", "--gue-group 0x10 "), 3).err
    assert "gutctl port set 6080 --gue-group 16 --no-gue-csum" in differs
    must(machine, "port set 6080 --gue-group 16 --no-gue-csum")
    (port,) = machine.spaces[ROOT].ports.values()
    assert port.gue == GueFields(16, False, Cookie.of(SECRET))
    assert "unchanged" in must(machine, "port set 6080 --gue-group 16").out
    assert must(machine, "port show 6080 --json").record["port"]["gue"]["cookie"]["file"] == str(file)
    must(machine, "port set 6080 --gue-group none --gue-cookie none")
    assert must(machine, "port show 6080 --json").record["port"]["gue"] is None


def test_profiles(machine: Machine, file: Path) -> None:
    line = f"profile add --format gue --gue-cookie @{file}"
    assert f"cookie {PRINT} of 16 octets" in must(machine, line).out
    assert "unchanged" in must(machine, line).out
    assert "is one with room for 16 octets" in must(machine, "profile set 1025 --gue-group 7", 3).err
    must(machine, "profile set 1025 --gue-group 7 --gue-cookie none")
    assert machine.spaces[ROOT].profiles[1025].gue == GueFields(7)
    assert must(machine, "profile show 1025 --json").record["profile"]["gue"] == {"group": 7, "csum": False, "cookie": None}
    must(machine, "profile del 1025")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--gue-cookie 0x1122334455667788", "everybody can read a command line"),
        ("--gue-cookie 1122334455667788", "everybody can read a command line"),
        ("--gue-cookie @", "everybody can read a command line"),
        ("--gue-cookie @/nonexistent", "No such file"),
        ("--gue-cookie @/dev/null", "0 octets"),
        ("--gue-group 4294967296", "0 to 4294967295"),
        ("--gue-group -1", "0 to 4294967295"),
        ("--gue-group seven", "0 to 4294967295"),
    ],
)
def test_refused(machine: Machine, words: str, said: str) -> None:
    for line in ("profile add --format gue", "port add 6080 --any-source", "tunnel add west --remote 198.51.100.7 --format gue"):
        result = must(machine, f"{line} {words}", 2)
        assert said in result.err
        assert "1122334455667788" not in result.err
    assert machine.snapshot() == Machine().snapshot()


def test_formats_that_have_none(machine: Machine) -> None:
    assert "--option group=N" in must(machine, "tunnel add west --remote 198.51.100.7 --gue-group 7", 2).err
    assert "format fou has no such fields" in must(machine, "profile add --format fou --gue-csum", 2).err
    assert "does not accept GUE" in must(machine, "port add 6080 --any-source --accept bare --gue-csum", 2).err
    assert "the module fou has none" in must(machine, "tunnel add west --remote 198.51.100.7 --module fou --sport 6080 --gue-group 7", 2).err
    assert "knows no fields" in must(machine, "port add 6080 --any-source --module fou --gue-group 7", 2).err
    must(machine, "tunnel add west --remote 198.51.100.7 --format gue --gue-group 7")
    assert "no such fields" in must(machine, "tunnel set west --format gutless", 2).err
    must(machine, "tunnel set west --format gutless --gue-group none")
    machine = Machine()
    machine.features -= {"gue-fields"}
    for line in ("profile add --format gue", "port add 6080 --any-source", "tunnel add west --remote 198.51.100.7 --format gue"):
        assert "load a newer one" in must(machine, f"{line} --gue-csum", 7).err
    assert machine.snapshot() == Machine().snapshot()


@pytest.mark.parametrize(
    ("content", "octets"),
    [
        (b"\x00" * 8, bytes(8)),
        (b"0123456789abcdef", bytes.fromhex("0123456789abcdef")),
        (b"\n 0123456789ABCDEF0123456789abcdef \n", bytes.fromhex("0123456789abcdef0123456789abcdef")),
        (b"ab" * 32, bytes.fromhex("ab" * 32)),
        (b"0123456789abcdeg", b"0123456789abcdeg"),
        (b"01234567", b"01234567"),
    ],
)
def test_what_a_file_may_hold(machine: Machine, tmp_path: Path, content: bytes, octets: bytes) -> None:
    made = tmp_path / "cookie"
    made.write_bytes(content)
    made.chmod(0o644)
    assert f"chmod o-r {made}" in must(machine, f"profile add --format gue --gue-cookie @{made}").err
    (profile,) = machine.spaces[ROOT].profiles.values()
    assert profile.gue.cookie == Cookie.of(octets)
    for wrong in (b"", content + b"x", b"0x" + content.strip()):
        made.write_bytes(wrong)
        assert "a cookie has 8, 16 or 32 octets" in must(machine, f"profile add --format gue --gue-cookie @{made}", 2).err


def test_a_cookie_that_is_not_known_is_not_made_up() -> None:
    from gutctl._nl.gue import gue_nest

    unknown = GueFields(cookie=replace(Cookie.of(SECRET), octets=None))
    assert [name for name, _ in gue_nest(unknown)] == ["csum", "clear"]
    with pytest.raises(GutctlError, match="is not known"):
        gue_nest(unknown, new=True)
