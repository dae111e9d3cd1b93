# SPDX-License-Identifier: Apache-2.0
"""Private parts behind :mod:`gutctl.encap` and :mod:`gutctl.dissect`. Pure standard library."""
