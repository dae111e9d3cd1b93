# SPDX-License-Identifier: Apache-2.0
"""Whatever the options: adding twice is adding once, deleting undoes adding, --check tells the truth."""

from __future__ import annotations

import shlex

import pytest
from cli_runner import Result, gutctl
from fake_kernel import Machine
from hypothesis import event, given, settings
from hypothesis import strategies as st

FAMILY4 = ["198.51.100.7", "198.51.100.8", "192.0.2.1"]
FAMILY6 = ["2001:db8::7", "2001:db8:1::8"]
LOCAL = {4: "203.0.113.5", 6: "2001:db8::5"}
FROM = {4: ["10.0.0.0/8", "198.51.100.7", "198.51.100.0/24"], 6: ["2001:db8::/32", "2001:db8::7"]}


@st.composite
def options(draw: st.DrawFn, family: int, changing: bool = False) -> list[str]:
    """Options of tunnel add, or of tunnel set."""
    words: list[str] = []

    def maybe(option: str, values: list[str]) -> None:
        if draw(st.booleans()):
            words.extend([option, draw(st.sampled_from(values))])

    if changing:
        maybe("--format", ["gutless", "gue"])
    else:
        maybe("--format", ["gutless", "gue", "fou"])
        maybe("--mode", ["ip", "gre", "eth"])
        if "gre" in words or "eth" in words:
            maybe("--key", ["7", "0.0.0.9"])
        else:
            maybe("--inner", ["ipv4", "ipv6"])
            maybe("--link-kind", ["ipip", "sit"] if family == 4 else ["ip6tnl"])
    maybe("--local", [LOCAL[family]])
    maybe("--peer-port", ["6080", "9999"])
    maybe("--sport", ["auto", "6080", "50000-50100", "49152-65535"])
    maybe("--csum", ["full", "zero", "remote", "remote-draft"])
    maybe("--mtu", ["1300", "1400", "auto"])
    maybe("--ttl", ["inherit", "64", "9"])
    maybe("--tos", ["inherit", "0", "0x20"])
    if family == 4 and draw(st.integers(0, 3)) == 0:
        words += ["--no-pmtudisc", "--ttl", "inherit"]
    for cidr in draw(st.lists(st.sampled_from(["10.9.0.1/30", "fd09::1/64", "10.8.0.1/24"]), unique=True)):
        words += ["--address", cidr]
    receive = draw(st.sampled_from(["default", "from", "any", "none"]))
    if receive == "none":
        words.append("--no-port")
        return words
    maybe("--port", ["6080", "7000", "7001"])
    if receive == "any":
        words.append("--any-source")
    elif receive == "from":
        for prefix in draw(st.lists(st.sampled_from(FROM[family]), min_size=1, unique=True)):
            words += ["--from", prefix]
    return words


@st.composite
def additions(draw: st.DrawFn, name: str = "west") -> str:
    """A tunnel add command."""
    family = draw(st.sampled_from([4, 6]))
    remote = draw(st.sampled_from({4: FAMILY4, 6: FAMILY6}[family]))
    words = ["tunnel", "add", name, "--remote", remote, *draw(options(family))]
    if draw(st.integers(0, 3)) == 0:
        words += ["--module", "fou"]
    if draw(st.integers(0, 4)) == 0:
        words += ["--move-to", "blue"]
    return shlex.join(words)


PORTS = st.sampled_from(
    [
        "port add 6080 --from 198.51.100.0/24",
        "port add 6080 --any-source",
        "port add 6080 -6 --from 2001:db8::7 --zero-csum6",
        "port add 7000 --accept fou:4 --from 10.0.0.0/8",
        "port add 7000 --module fou --any-source",
        "port add 6080 --module fou --from 198.51.100.7 --from-port 6080",
        "port add 7001 --local 203.0.113.5 --from 198.51.100.7",
        "profile add --format gutless --sport 50000-50100",
    ]
)


def refused(result: Result) -> bool:
    """Failed, and said why in words."""
    assert result.status in (0, 1, 2, 3, 4, 5), result
    assert "this should not happen" not in result.err
    if result.status:
        assert result.err.startswith(("gutctl: ", "Usage: ")), result
    return result.status != 0


def machine(before: list[str]) -> Machine:
    """A machine on which commands have run, as far as they could."""
    made = Machine()
    for line in before:
        refused(gutctl(made, line))
    return made


SETUPS = st.lists(PORTS | additions("east") | additions("north"), max_size=3)


@settings(max_examples=60, deadline=None)
@given(SETUPS, additions())
def test_add_check_again_delete(before: list[str], line: str) -> None:
    here = machine(before)
    start = here.snapshot()
    checked = gutctl(here, line + " --check")
    assert here.snapshot() == start
    first = gutctl(here, line)
    if refused(first):
        event("refused")
        assert here.snapshot() == start
        # a link that was moved away still has its pair of addresses, as only the kernel knows
        assert checked.status == first.status or "same ends" in first.err
        return
    event("added")
    assert checked.status == 8
    after = here.snapshot()
    assert after != start
    again = gutctl(here, line)
    assert (again.status, again.out) == (0, "west: unchanged\n"), (line, again)
    assert gutctl(here, line + " --check").status == 0
    assert here.snapshot() == after
    where = "-n blue " if "--move-to" in line else ""
    gone = gutctl(here, f"{where}tunnel del west")
    assert (gone.status, gone.out) == (0, "west: deleted\n"), gone
    assert here.snapshot() == start


@settings(max_examples=30, deadline=None)
@given(SETUPS, additions(), st.data())
def test_interrupted_at_any_step(before: list[str], line: str, data: st.DataObject) -> None:
    """Add, set and delete, each failing at each of its requests: as if it had never been called."""
    here = machine(before)
    lines = [line, "tunnel set west " + shlex.join(data.draw(options(6 if ":" in line.split()[4] else 4, True)))]
    lines.append("tunnel del west")
    for command in lines:
        if "--move-to" in line and command != line:
            command = "-n blue " + command
        start = here.snapshot()
        if refused(gutctl(here, command)):
            assert here.snapshot() == start
            continue
        here.restore(start)
        step = 0
        while True:
            here.fail_at = step
            result = gutctl(here, command)
            if here.fail_at is not None:
                break
            assert result.err.splitlines()[-1] == "gutctl: injected", (command, step, result)
            assert here.snapshot() == start, (command, step)
            step += 1
        here.fail_at = None
        event(f"{step} steps")
        assert result.status == 0


@settings(max_examples=50, deadline=None)
@given(SETUPS, additions(), st.data())
def test_set_twice_is_set_once(before: list[str], line: str, data: st.DataObject) -> None:
    here = machine(before)
    if refused(gutctl(here, line)):
        return
    words = shlex.join(data.draw(options(6 if ":" in line.split()[4] else 4, True)))
    command = ("-n blue " if "--move-to" in line else "") + f"tunnel set west {words}"
    start = here.snapshot()
    checked = gutctl(here, command + " --check")
    assert here.snapshot() == start
    first = gutctl(here, command)
    if refused(first):
        assert here.snapshot() == start
        return
    after = here.snapshot()
    assert checked.status == (8 if after != start else 0), (command, checked)
    again = gutctl(here, command)
    assert (again.status, again.out) == (0, "west: unchanged\n"), (line, command, again)
    assert here.snapshot() == after


@settings(max_examples=50, deadline=None)
@given(SETUPS, additions(), additions())
def test_the_hint_of_a_conflict_mends_it(before: list[str], line: str, other: str) -> None:
    here = machine(before)
    if refused(gutctl(here, line)):
        return
    result = gutctl(here, other)
    hint = result.err.partition("hint: gutctl ")[2]
    if result.status != 3 or " set west " not in hint or " exists and differs" not in result.err:
        return
    mended = gutctl(here, ("-n blue " if "--move-to" in line else "") + hint.splitlines()[0])
    if mended.status:
        event("the change itself is refused")
        return
    event("mended")
    again = gutctl(here, other)
    assert (again.status, again.out) == (0, "west: unchanged\n"), (line, other, hint, again)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(PORTS, max_size=2),
    st.tuples(additions("a"), additions("b"), additions("c")),
    st.permutations("abc"),
)
def test_in_whatever_order_they_go(ports: list[str], lines: tuple[str, ...], order: list[str]) -> None:
    here = machine(ports)
    start = here.snapshot()
    where = {}
    for name, line in zip("abc", lines, strict=True):
        if not refused(gutctl(here, line)):
            where[name] = "-n blue " if "--move-to" in line else ""
    for name in order:
        if name in where:
            assert gutctl(here, f"{where[name]}tunnel del {name}").status == 0
    assert here.snapshot() == start


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, OSError])
@pytest.mark.parametrize("step", range(5))
def test_undone_after_whatever_it_was(failure: type[BaseException], step: int) -> None:
    here = Machine()
    start = here.snapshot()
    here.fail_at, here.failure = step, failure
    line = "tunnel add west --remote 198.51.100.7 --sport 50000-50100 --address 10.9.0.1/30"
    result = gutctl(here, line)
    assert result.status == (130 if failure is KeyboardInterrupt else 1), result
    assert "Traceback" not in result.err
    assert here.snapshot() == start
