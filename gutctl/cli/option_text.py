# SPDX-License-Identifier: Apache-2.0
"""Options and rules of a record as text."""

from __future__ import annotations

from gutctl.records import Record

__all__ = ["key_text", "rule_text"]


def rule_text(rule: Record) -> str:
    """``mark 0x7 -> profile 513``; the mask where not all bits count."""
    mask = "" if rule["mask"] == 0xFFFFFFFF else f"/0x{rule['mask']:x}"
    return f"mark 0x{rule['mark']:x}{mask} -> profile {rule['profile']}"


def key_text(key: Record) -> str:
    """``7 from /etc/gutctl/west.key, fingerprint 0123456789abcdef``; never the secret."""
    where = f" from {key['file']}" if key["file"] else ""
    back = ", direction 1" if key["direction"] else ""
    return f"{key['id']}{where}{back}, fingerprint {key['fingerprint']}"
