# SPDX-License-Identifier: Apache-2.0
"""The test vectors of docs/protocol.md, for all who judge: codecs, parser, dissectors, and a running kernel."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gutctl.encap import Cookie, GueFields

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/protocol.md").read_text()
DEFAULT_INNER = frozenset({4, 41, 47, 143})


@dataclass(frozen=True)
class Vector:
    """A payload of UDP and what is said of it; section 16 tells what the keys mean."""

    name: str
    payload: bytes
    verdict: str
    format: str | None = None
    header_octets: int = 0
    next: int | None = None
    check: str = "none"
    error: str | None = None
    accept_inner: tuple[int, ...] = ()
    udp_checksum: bool = True
    transport: str | None = None
    finished: bytes | None = None
    options: tuple[dict[str, Any], ...] | None = None
    fields: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    reply: bytes | None = None
    report: bytes | None = None
    send: dict[str, Any] = field(default_factory=dict)
    require: GueFields = GueFields()  # noqa: RUF009 - it cannot be changed

    def __str__(self) -> str:
        return self.name

    @property
    def accepted(self) -> bool:
        """It passes the port."""
        return self.verdict == "accepted"

    @property
    def judged(self) -> str:
        """The verdict of who does not count nested encapsulations, as no part of the header's parser does."""
        return "accepted" if self.verdict == "nesting" else self.verdict

    @property
    def inner(self) -> frozenset[int]:
        """Protocols that its port accepts."""
        return DEFAULT_INNER | set(self.accept_inner)

    @property
    def carried(self) -> bytes:
        """What is behind the header."""
        return self.payload[self.header_octets :]


def blocks() -> dict[str, list[dict[str, Any]]]:
    """All TOML of the document, joined."""
    return tomllib.loads("\n".join(re.findall(r"^```toml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)))


def vector(told: dict[str, Any]) -> Vector:
    """TypeError for a key that nothing reads."""
    told = dict(told, payload=bytes.fromhex(told["payload"]), accept_inner=tuple(told.get("accept_inner", ())))
    for key in {"finished", "reply", "report"} & set(told):
        told[key] = bytes.fromhex(told[key])
    if "require" in told:
        wanted = dict(told["require"])
        if "cookie" in wanted:
            wanted["cookie"] = Cookie.of(bytes.fromhex(wanted["cookie"]))
        told["require"] = GueFields(**wanted)
    if "options" in told:
        told["options"] = tuple(told["options"])
    return Vector(**told)


VECTORS = [vector(one) for one in blocks()["vector"]]
SUMS = blocks()["sum"]
PACKETS = blocks()["packet"]
