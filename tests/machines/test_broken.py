# SPDX-License-Identifier: Apache-2.0
"""A machine that cannot come up: it ends within its time, and what it said on its console is shown."""

from __future__ import annotations

from lost import SECONDS, Attempt


def test_a_machine_without_root_file_system(attempt: Attempt) -> None:
    attempt.join(SECONDS + 120)
    assert not attempt.is_alive()
    assert attempt.trouble is None, attempt.trouble
    assert f"vagrant up: not done within {SECONDS} s" in attempt.said
    # Vagrant has ten seconds to go after it was told
    assert SECONDS <= attempt.took < SECONDS + 20
    assert "--- console of lost:" in attempt.said
    assert "initrd: no root file system on '/dev/nowhere'" in attempt.said, attempt.said
    assert "Waiting for domain to get an IP address" in attempt.said
