# SPDX-License-Identifier: Apache-2.0
"""From what is wanted and what is there to a :class:`gutctl.plan.Plan`, one noun a file."""
