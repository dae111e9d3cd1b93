# SPDX-License-Identifier: Apache-2.0
"""gutctl/specs/gutless.yaml and the uapi header, read without any code of the tool."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "gutctl/specs/gutless.yaml"
HEADER = ROOT / "kmod/include/uapi/linux/gutless.h"


@dataclass(frozen=True)
class SpecAttr:
    """One attribute as the spec declares it; ``type`` in the words of gutctl/_nl/family.py."""

    number: int
    type: str
    nested: str | None
    multi: bool
    checks: dict[str, Any]


def load() -> Any:
    return yaml.safe_load(SPEC.read_text())


def attribute_sets(spec: Any) -> dict[str, dict[str, SpecAttr]]:
    """By set and name; the numbers count on from the last ``value``."""
    found: dict[str, dict[str, SpecAttr]] = {}
    for attribute_set in spec["attribute-sets"]:
        number, attrs = -1, {}
        for attr in attribute_set["attributes"]:
            number = attr.get("value", number + 1)
            kind = attr["type"]
            if attr.get("byte-order") == "big-endian":
                kind = kind.replace("u", "be")
            attrs[attr["name"]] = SpecAttr(
                number, kind, attr.get("nested-attributes"), attr.get("multi-attr", False), attr.get("checks", {})
            )
        found[attribute_set["name"]] = attrs
    return found


def commands(spec: Any) -> dict[str, int]:
    number, found = -1, {}
    for operation in spec["operations"]["list"]:
        number = operation.get("value", number + 1)
        found[operation["name"]] = number
    return found


def requests(spec: Any) -> dict[tuple[str, str], tuple[str, ...]]:
    """Request attributes by command and do or dump; one that says nothing takes none."""
    found = {}
    for operation in spec["operations"]["list"]:
        for how in ("do", "dump"):
            if how in operation:
                found[operation["name"], how] = tuple(operation[how].get("request", {}).get("attributes", ()))
    return found


def definitions(spec: Any) -> dict[str, dict[str, int]]:
    """Values of enums, bits of flags."""
    found = {}
    for definition in spec["definitions"]:
        if definition["type"] == "flags":
            values = {name: 1 << n for n, name in enumerate(definition["entries"])}
        else:
            values = {name: definition["value-start"] + n for n, name in enumerate(definition["entries"])}
        found[definition["name"]] = values
    return found


def header_enums() -> dict[str, dict[str, int]]:
    """Every enum of the header, as a compiler counts; names of the ends left out."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    enums = {}
    for name, body in re.findall(r"enum (\w+) \{(.*?)\};", text, flags=re.DOTALL):
        value, members = -1, {}
        for row in filter(None, (row.strip() for row in body.split(","))):
            member, _, expression = (part.strip() for part in row.partition("="))
            if expression:
                left, _, right = expression.partition("<<")
                value = int(left) << int(right) if right else int(left)
            else:
                value += 1
            if not member.startswith("__"):
                members[member] = value
        enums[name] = members
    return enums


def header_defines() -> dict[str, str]:
    return dict(re.findall(r"^#define (\w+)[ \t]+(\S+)", HEADER.read_text(), flags=re.MULTILINE))
