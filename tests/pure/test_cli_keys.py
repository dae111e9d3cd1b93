# SPDX-License-Identifier: Apache-2.0
"""Keys of option auth on the command line: by file, the same by fingerprint, never told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runner import Result, must
from fake_kernel import ROOT, Machine

from gutctl._wire.auth import Key
from gutctl.model import Port

SECRETS = [bytes((n,)) * 31 + b"x" for n in range(1, 4)]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    names = []
    for number, secret in enumerate(SECRETS):
        path = tmp_path / f"{number}.key"
        path.write_text(secret.hex() + "\n")
        path.chmod(0o600)
        names.append(str(path))
    return names


def clean(result: Result) -> Result:
    for secret in SECRETS:
        assert secret.hex() not in result.out + result.err
    return result


def port(machine: Machine) -> Port:
    (one,) = machine.spaces[ROOT].ports.values()
    return one


def test_a_port_with_keys(machine: Machine, files: list[str]) -> None:
    first, second, _ = files
    line = f"port add 6080 --from 198.51.100.7 --key 1=@{first} --key 2=@{second},direction=1 --require-auth"
    clean(must(machine, line + " --check --diff", 8))
    assert not machine.spaces[ROOT].ports
    out = clean(must(machine, line)).out
    print_of = Key.of(1, SECRETS[0]).fingerprint
    assert f"key 1 from {first}, fingerprint {print_of}" in out
    assert "auth required" in out
    assert {key.id: key.direction for key in port(machine).keys} == {1: 0, 2: 1}
    assert must(machine, line).out.startswith("port 6080/udp: unchanged")
    record = clean(must(machine, "port show 6080 --json")).record["port"]
    assert record["keys"][0] == {"id": 1, "file": first, "fingerprint": print_of, "direction": 0}
    assert record["require_auth"] is True
    shown = clean(must(machine, "port show 6080")).out
    assert f"1 from {first}, fingerprint {print_of}" in shown
    # the same secret in a file of another name is the same key
    other = Path(first).with_name("moved.key")
    other.write_bytes(Path(first).read_bytes())
    other.chmod(0o600)
    assert must(machine, line.replace(first, str(other))).out.startswith("port 6080/udp: unchanged")


def test_another_secret_is_a_conflict_and_set_changes_it(machine: Machine, files: list[str]) -> None:
    first, second, third = files
    must(machine, f"port add 6080 --from 198.51.100.7 --key 1=@{first}")
    differs = clean(must(machine, f"port add 6080 --from 198.51.100.7 --key 1=@{second}", 3)).err
    assert f"--key 1=@{second}" in differs
    assert Key.of(1, SECRETS[0]).fingerprint in differs
    machine.requests.clear()
    change = clean(must(machine, f"port set 6080 --key 1=@{second} --key 3=@{third} --require-auth --diff")).out
    assert f"1=@{second} ({Key.of(1, SECRETS[1]).fingerprint})" in change
    assert machine.requests == ["port_set 6080"]
    assert must(machine, f"port set 6080 --key 1=@{second}").out.startswith("port 6080/udp: unchanged")
    must(machine, "port set 6080 --no-key 1")
    assert {key.id for key in port(machine).keys} == {3}
    assert "without a key nothing could pass" in must(machine, "port set 6080 --no-key 3", 2).err
    must(machine, "port set 6080 --no-key 3 --no-require-auth")
    assert (port(machine).keys, port(machine).require_auth) == (frozenset(), False)
    must(machine, "port set 6080 --no-key 3")


def test_refused(machine: Machine, files: list[str]) -> None:
    first = files[0]
    for line, said in (
        ("--require-auth", "without a key"),
        (f"--accept gue0 --key 1=@{first}", "only GUT-less has option auth"),
        (f"--accept fou:4 --key 1=@{first}", "only GUT-less has option auth"),
        (f"--key 1=@{first} --key 1=@{first}", "two of id 1"),
        (f"--key 1={first}", "no key"),
        ("--key 1=@/absent", "/absent"),
        (" ".join(f"--key {n}=@{first}" for n in range(9)), "9 keys"),
    ):
        assert said in must(machine, f"port add 6080 --any-source {line}", 2).err
    assert not machine.spaces[ROOT].ports
    Path(first).chmod(0o644)
    assert f"chmod 600 {first}" in must(machine, f"port add 6080 --any-source --key 1=@{first}", 2).err


def test_a_tunnel_signs(machine: Machine, files: list[str]) -> None:
    first, second, _ = files
    line = f"tunnel add west --remote 198.51.100.7 --option auth=1,key=@{first} --option group=7"
    clean(must(machine, line))
    link = machine.spaces[ROOT].links["west"]
    assert link.single, "each packet is signed for itself"
    assert link.mtu == 1500 - 20 - 8 - 4 - 36
    assert clean(must(machine, line)).out == "west: unchanged\n"
    record = clean(must(machine, "tunnel show west --json")).record["tunnel"]
    assert record["options"] == [f"auth=1,key=@{first}", "group=7"]
    assert record["signs"] == {"id": 1, "file": first, "fingerprint": Key.of(1, SECRETS[0]).fingerprint, "direction": 0}
    assert Key.of(1, SECRETS[0]).fingerprint in must(machine, "tunnel show west").out
    assert not port(machine).keys, "a port that tunnels share is not changed by what one of them signs with"
    machine.requests.clear()
    clean(must(machine, f"ext set west auth=2,key=@{second}"))
    assert machine.requests == ["profile_set 2305"]
    differs = clean(must(machine, line, 3)).err
    assert f"auth=1,key=@{first}" in differs
    clean(must(machine, "ext detach west auth"))
    assert "without a key nothing can be signed" in must(machine, "tunnel set west --option auth=1", 2).err


def test_a_profile_signs(machine: Machine, files: list[str]) -> None:
    first, second, _ = files
    line = f"profile add --format gutless --option auth=1,key=@{first}"
    must(machine, line)
    assert "unchanged" in clean(must(machine, line)).out
    (number,) = machine.spaces[ROOT].profiles
    shown = json.loads(clean(must(machine, f"profile show {number} --json")).out)["profile"]
    assert shown["key"]["fingerprint"] == Key.of(1, SECRETS[0]).fingerprint
    diff = clean(must(machine, f"profile set {number} --option auth=1,key=@{second} --diff")).out
    assert Key.of(1, SECRETS[1]).fingerprint in diff
    # the file changes under the same name: that is another key
    Path(second).write_text(SECRETS[2].hex())
    assert "unchanged" not in clean(must(machine, f"profile set {number} --option auth=1,key=@{second}")).out


def test_a_module_without_it(machine: Machine, files: list[str]) -> None:
    machine.features -= {"auth"}
    must(machine, f"port add 6080 --any-source --key 1=@{files[0]}", 7)
    must(machine, f"profile add --format gutless --option auth=1,key=@{files[0]}", 7)


def test_a_port_goes_with_its_keys(machine: Machine, files: list[str]) -> None:
    """Of a tunnel's port that is closed, all is gone that was to keep packets out; and this is said."""
    must(machine, "tunnel add west --remote 198.51.100.7 --port 6080")
    assert "closed" not in must(machine, "tunnel set west --port 6081").err
    must(machine, f"port set 6081 --key 1=@{files[0]} --require-auth --rule group=require=7")
    told = "port 6081/udp is closed, and what was set on it is gone: 1 key, --require-auth, rules group=require=7"
    assert told in must(machine, "tunnel set west --port 6080 --check", 8).err
    assert told in must(machine, "tunnel set west --port 6080").err
    assert not port(machine).keys
    must(machine, f"port set 6080 --key 1=@{files[0]} --key 2=@{files[1]}")
    assert "what was set on it is gone: 2 keys. " in clean(must(machine, "tunnel del west")).err
    must(machine, f"port add 6080 --from 198.51.100.7 --key 1=@{files[0]} --require-auth")
    must(machine, "tunnel add west --remote 198.51.100.7 --port 6080")
    assert "closed" not in must(machine, "tunnel del west").err
    assert port(machine).require_auth, "one of the administrator's stays"
