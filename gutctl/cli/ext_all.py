# SPDX-License-Identifier: Apache-2.0
"""``gutctl ext`` with all its verbs, which stand in several files."""

from gutctl.cli import ext_change, ext_receive, ext_watch
from gutctl.cli.ext import ext

__all__ = ["ext", "ext_change", "ext_receive", "ext_watch"]
