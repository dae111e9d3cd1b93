# SPDX-License-Identifier: Apache-2.0
"""What all tests of the pure ring share."""

from __future__ import annotations

from hypothesis import settings

# how long an example takes says more about the other work of the machine than about the code
settings.register_profile("gutctl", deadline=None)
settings.load_profile("gutctl")
