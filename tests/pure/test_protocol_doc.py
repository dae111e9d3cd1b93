# SPDX-License-Identifier: Apache-2.0
"""docs/protocol.md says what the code does: its tables, its order of drop reasons. Its vectors: test_protocol_vectors.py."""

from __future__ import annotations

import re

import pytest
from vectors import ROOT, TEXT

from gutctl import encap
from gutctl._wire import gue, options
from gutctl._wire.verdict import INNER_MIN
from gutctl.encap import EncapError, Option


def section(number: str) -> str:
    """The text of one section, up to the next heading of any level."""
    found = re.search(rf"^##+ {re.escape(number)}\.? .*?(?=^##)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {number}"
    return found[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the rows of all tables, without headings and without figures."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    rules = [index for index, row in enumerate(cells) if set("".join(row)) == {"-"}]
    return [row for index, row in enumerate(cells) if index not in rules and index + 1 not in rules]


def test_reasons_are_those_of_the_kernel_and_all_of_them() -> None:
    header = (ROOT / "kmod/include/uapi/linux/gutless.h").read_text()
    body = re.search(r"enum gutless_rx_attr \{(.*?)\};", header, re.DOTALL)
    assert body
    kernel = {name.lower().replace("_", "-") for name in re.findall(r"GUTLESS_A_RX_DROP_(\w+)", body[1])}
    told = {name for row in rows(section("9")) if len(row) == 3 for name in re.findall(r"`([a-z-]+)`", row[2])}
    assert told == kernel


def test_smallest_inner_headers() -> None:
    found: dict[int, int] = {}
    for names, octets in (row for row in rows(section("9")) if len(row) == 2):
        found |= {int(number): int(octets) for number in re.findall(r"\d+(?= )", names)}
    assert found == INNER_MIN


def test_costs() -> None:
    kinds = {"IP": ("ipip", "ip6tnl"), "GRE": ("gre", "ip6gre"), "GRE with Ethernet": ("gretap", "ip6gretap")}
    table = rows(section("11"))
    assert len(table) == 8
    for name, carried, octets4, mtu4, octets6, mtu6 in table:
        form, _, rest = name.replace(",", "").partition(" ")
        words = int(rest.split()[0]) if "words" in rest else 0
        for family, octets, mtu in ((4, octets4, mtu4), (6, octets6, mtu6)):
            kind = kinds[carried][family == 6]
            assert encap.overhead(form, family, kind, words) == int(octets)
            assert encap.tunnel_mtu(1500, form, family, kind, words) == int(mtu)
    assert encap.max_inner("fou", 4) == 65535 - 28
    assert encap.max_inner("fou", 6) == 65535 - 48 + 40


def test_options() -> None:
    table = [row for row in rows(section("7")) if row[0].startswith("0x")]
    assert len(table) == 8
    for number, name, sizes, _, once in table:
        kind = int(number, 16)
        assert Option(kind).name.replace("-", " ") == name.replace("MTU", "mtu").replace("minimum", "min")
        assert (kind in options.SINGLETONS) == (once == "yes")
        for size in map(int, sizes.split(", ")):
            family = b"\x06" if size == 19 else b"\x04"
            value = encap.option_value(Option(kind, family + bytes(size - 1) if kind == 0x1B else bytes(size)))
            assert value is not None
            assert len(value.option().data) == size
        with pytest.raises(EncapError):
            encap.option_value(Option(kind, bytes(30)))
    experiments = set(re.findall(r"0x[0-9a-f]e\b", section("7").split("| no |")[-1]))
    assert {int(number, 16) for number in experiments} == set(options.EXPERIMENTS)


def test_gue_fields() -> None:
    masks = 0
    for mask_text, name, sizes, _ in (row for row in rows(section("3.2")) if row[0].startswith("0x")):
        mask = int(mask_text, 16)
        assert not masks & mask
        masks |= mask
        if name == "undefined":
            assert all(gue.fields_octets(1 << bit) is None for bit in range(16) if mask & 1 << bit)
        elif mask == gue.SEC_MASK:
            assert [gue.fields_octets(value << 12) for value in range(1, 5)] == list(map(int, sizes.split(", ")))
            assert all(gue.fields_octets(value << 12) is None for value in (5, 6, 7))
        else:
            assert gue.fields_octets(mask) == int(sizes.split()[0])
    assert masks == 0xFFFF


def test_control_types() -> None:
    table = [row for row in rows(section("8")) if row[0].isdigit()]
    assert {int(row[0]): row[1] for row in table} == encap.CONTROL_NAMES


def test_sections_that_the_code_names_exist() -> None:
    for path in (*ROOT.glob("gutctl/**/*.py"), *ROOT.glob("kmod/*.[ch]")):
        named = r"protocol\.md,? section\s+([0-9.]*[0-9])"
        for number in re.findall(named, path.read_text()):
            assert section(number), f"{path.name} names section {number}"
