# SPDX-License-Identifier: Apache-2.0
"""Who may do what: without privilege, and from a user namespace's own network namespace.

    the guest's root ---- a forked child: no capabilities | a user namespace with its own network namespace
"""

from __future__ import annotations

import ctypes
import json
import os
import traceback
from collections.abc import Callable, Iterator
from errno import EPERM
from pathlib import Path

import pytest
from rawnl import NLM_F_DUMP, RawNetlink, Refused, key, n, source, u8, u16

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PARAMETER = Path("/sys/module/gutless/parameters/unprivileged")
NOBODY = 65534
CHANGES = {
    "PORT_ADD": key(6080) + u8("A_PORT_ANY_SOURCE", 1),
    "PORT_SET": key(6080) + u8("A_PORT_ANY_SOURCE", 0),
    "PORT_DEL": key(6080),
    "PROFILE_ADD": u16("A_PROFILE_NUMBER", 9) + u8("A_PROFILE_FORMAT", 3),
    "PROFILE_SET": u16("A_PROFILE_NUMBER", 9) + u8("A_PROFILE_CSUM", 2),
    "PROFILE_DEL": u16("A_PROFILE_NUMBER", 9),
}
READS = {"PORT_GET": key(6080), "PROFILE_GET": u16("A_PROFILE_NUMBER", 9)}
SENTENCE = "user namespaces need the module parameter 'unprivileged'"
Answers = dict[str, list[int | str]]

_libc = ctypes.CDLL(None, use_errno=True)


def in_child(prepare: Callable[[], None], work: Callable[[], Answers]) -> Answers:
    """Run `work` in a forked child after `prepare`; what it returns comes back through a pipe."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            prepare()
            os.write(writer, json.dumps(work()).encode())
        except BaseException:  # noqa: BLE001 - told to the parent
            os.write(writer, json.dumps({"trouble": [traceback.format_exc()]}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said: Answers = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert "trouble" not in said, said["trouble"][0]
    return said


def try_all(requests: dict[str, bytes]) -> Answers:
    """errno (0: done) and sentence of each request, and of the dumps and INFO_GET."""
    netlink = RawNetlink()
    said: Answers = {}
    tries: dict[str, tuple[int, bytes, int]] = {
        name: (n("CMD_" + name), body, 0) for name, body in requests.items()
    }
    tries["dump ports"] = (n("CMD_PORT_GET"), b"", NLM_F_DUMP)
    tries["dump profiles"] = (n("CMD_PROFILE_GET"), b"", NLM_F_DUMP)
    tries["info"] = (n("CMD_INFO_GET"), b"", 0)
    for name, (command, body, flags) in tries.items():
        try:
            netlink.ask(command, body, flags=flags)
            said[name] = [0, ""]
        except Refused as error:
            said[name] = [error.errno or 0, error.sentence]
    netlink.close()
    return said


def become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def enter_user_namespace() -> None:
    """As whoever may make user namespaces does: nobody outside, root inside, a network namespace of its own."""
    become_nobody()
    # a process that changed its user may not write its own maps until it may be looked into again
    _libc.prctl(4, 1, 0, 0, 0)
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {NOBODY} 1")
    Path("/proc/self/gid_map").write_text(f"0 {NOBODY} 1")


@pytest.fixture
def initial(gutless: None) -> Iterator[RawNetlink]:
    """The initial network namespace, with a port and a profile."""
    made = RawNetlink()
    made.do("PORT_ADD", key(6080), source("192.0.2.0/24"))
    made.do("PROFILE_ADD", CHANGES["PROFILE_ADD"])
    yield made
    made.do("PORT_DEL", key(6080))
    made.do("PROFILE_DEL", CHANGES["PROFILE_DEL"])
    made.close()


@pytest.fixture
def unprivileged() -> Iterator[Callable[[int], None]]:
    """Sets the parameter until the end of the test."""
    old = PARAMETER.read_text()

    def set_it(value: int) -> None:
        PARAMETER.write_text(str(value))

    yield set_it
    PARAMETER.write_text(old)


@pytest.mark.parametrize("parameter", [0, 1])
def test_nobody(initial: RawNetlink, unprivileged: Callable[[int], None], parameter: int) -> None:
    """Without capabilities INFO_GET alone is answered, whatever the parameter says; nothing changes."""
    unprivileged(parameter)
    before = initial.state()
    said = in_child(become_nobody, lambda: try_all({**CHANGES, **READS}))
    assert said.pop("info") == [0, ""]
    assert {name: answer[0] for name, answer in said.items()} == dict.fromkeys(
        [*CHANGES, *READS, "dump ports", "dump profiles"], EPERM
    )
    assert initial.state() == before


def test_a_user_namespace_by_default(initial: RawNetlink, unprivileged: Callable[[int], None]) -> None:
    """Its root reads what there is in its network namespace, nothing, and changes nothing: the sentence says why."""
    assert PARAMETER.read_text().strip() == "N", "off is the default"
    before = initial.state()
    said = in_child(enter_user_namespace, lambda: try_all(CHANGES))
    for name in CHANGES:
        assert said[name] == [EPERM, SENTENCE], name
    assert said["info"] == said["dump ports"] == said["dump profiles"] == [0, ""]
    assert initial.state() == before


def test_a_user_namespace_when_it_may(initial: RawNetlink, unprivileged: Callable[[int], None]) -> None:
    """With the parameter it does all of it, in its own network namespace and in no other."""
    unprivileged(1)
    before = initial.state()
    said = in_child(enter_user_namespace, lambda: try_all(CHANGES))
    assert set(map(tuple, said.values())) == {(0, "")}, said
    assert initial.state() == before
    unprivileged(0)
    said = in_child(enter_user_namespace, lambda: try_all(CHANGES))
    assert said["PORT_ADD"] == [EPERM, SENTENCE]


def test_no_way_into_another_network_namespace(initial: RawNetlink, unprivileged: Callable[[int], None]) -> None:
    """Root of a user namespace, in a network namespace that is not its own: refused by the core, parameter or not."""

    def enter_user_namespace_alone() -> None:
        become_nobody()
        if _libc.unshare(CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "unshare")

    unprivileged(1)
    before = initial.state()
    said = in_child(enter_user_namespace_alone, lambda: try_all({**CHANGES, **READS}))
    assert said.pop("info") == [0, ""]
    assert {answer[0] for answer in said.values()} == {EPERM}
    assert initial.state() == before


def test_info_tells_the_parameter(initial: RawNetlink, unprivileged: Callable[[int], None]) -> None:
    for value in (1, 0):
        unprivileged(value)
        assert initial.do("INFO_GET")[0].first("A_INFO_UNPRIVILEGED") == bytes((value,))
