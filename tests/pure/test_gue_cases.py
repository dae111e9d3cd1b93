# SPDX-License-Identifier: Apache-2.0
"""The cases of gue_cases.py before gutctl.encap; wire.h gets them in test_wire_c.py, a running kernel in its ring."""

from __future__ import annotations

import pytest
from gue_cases import GROUPS, Case

from gutctl.encap import Dropped, EncapError, decode, encode, receive_verdict, remote_finish, remote_fits, remote_of


def all_cases() -> list[Case]:
    return [case for group in GROUPS.values() for case in group]


@pytest.mark.parametrize("group", GROUPS)
def test_receive_verdict(group: str) -> None:
    wrong = []
    for case in GROUPS[group]:
        said = receive_verdict(case.payload, pseudo=1)
        found = said.reason if isinstance(said, Dropped) else ""
        if found != case.verdict:
            wrong.append(f"{case.name}: {found or 'passes'}, not {case.verdict or 'passes'}")
    assert not wrong, "\n".join(wrong)


def test_every_reason_comes_up_and_most_things_pass_somewhere() -> None:
    told = {case.verdict for case in all_cases()}
    assert told == {*("", "truncated", "flags", "length", "control", "options", "remcsum", "gue-csum"), "protocol-zero", "protocol", "inner"}
    assert all(any(not case.verdict for case in cases) for group, cases in GROUPS.items() if group != "control")


def test_what_passes_can_be_taken_apart_and_put_together_again() -> None:
    """The decoders may refuse more than a receiver, but nothing that a receiver takes."""
    for case in all_cases():
        if case.verdict:
            continue
        found = decode(case.payload)
        assert encode(found.header, found.payload) == case.payload, case.name


def test_bounds_are_those_of_the_verdict() -> None:
    for case in GROUPS["bounds"] + GROUPS["truncations"]:
        try:
            found = decode(case.payload)
            remote = remote_of(found.header)
        except EncapError as error:
            assert error.reason in ("truncated", "options"), case.name
            continue
        if remote is None:
            continue
        assert remote_fits(remote, len(found.payload)) == (case.verdict == ""), case.name
        if case.verdict:
            with pytest.raises(EncapError) as caught:
                remote_finish(found.payload, remote)
            assert caught.value.reason == "remcsum"
        else:
            made = remote_finish(found.payload, remote)
            changed = range(remote.offset, remote.offset + 2)
            assert all(made[at] == found.payload[at] for at in range(len(made)) if at not in changed)
