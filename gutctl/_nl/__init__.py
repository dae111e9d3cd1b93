# SPDX-License-Identifier: Apache-2.0
"""Rooms behind gutctl.netlink. Import that module; these may change."""
