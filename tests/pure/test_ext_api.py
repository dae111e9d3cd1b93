# SPDX-License-Identifier: Apache-2.0
"""Types of options as programs and packages declare them, and options as people write them (docs/extensions.md)."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from cli_runner import must
from encap_strategies import values
from fake_kernel import Machine
from hypothesis import given
from hypothesis import strategies as st

from gutctl import ext_api
from gutctl._wire import optiontype
from gutctl.errors import NotFoundError, UsageError
from gutctl.ext_api import (
    S16,
    U8,
    U16,
    Action,
    Bits,
    EncapError,
    Flag,
    Octets,
    Option,
    OptionValue,
    Rest,
    format_option,
    parse_option,
)

MACHINE = Machine()


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test declares is gone after it."""
    before = dict(optiontype._KNOWN.by_number), dict(optiontype._KNOWN.by_name), ext_api._loaded
    yield
    optiontype._KNOWN.by_number, optiontype._KNOWN.by_name, ext_api._loaded = before


def temperature() -> type[Any]:
    class Temperature(OptionValue, name="temperature", number=0x3E):
        """Of the sender, in tenths of a degree Celsius."""

        tenths: S16
        sensor: U8 = 0

    return Temperature


def test_the_example_of_the_docstring() -> None:
    done = doctest.testmod(ext_api)
    assert done.attempted == 3 and not done.failed


def test_a_type_in_a_few_lines() -> None:
    kind = temperature()
    value = kind(-5, sensor=3)
    assert (value.option(), value.option().encode().hex()) == (Option(0x3E, bytes.fromhex("fffb03")), "3e03fffb03")
    assert ext_api.option_value(Option(0x3E, bytes.fromhex("fffb03"))) == value
    assert (kind.type.name, kind.type.action, kind.type.mutable) == ("temperature", Action.SKIP, True)
    assert ext_api.type_named("temperature") is ext_api.type_named("0x3e") is kind.type
    assert Option(0x3E, b"").name == "temperature"
    with pytest.raises(AttributeError):
        value.tenths = 1
    with pytest.raises(EncapError, match=r"temperature: 2 octets of data"):
        ext_api.option_value(Option(0x3E, bytes(2)))


@pytest.mark.parametrize("tenths", [-32769, 32768, "1", True])
def test_a_value_that_its_field_cannot_hold(tenths: Any) -> None:
    with pytest.raises(EncapError, match="temperature's tenths is") as caught:
        temperature()(tenths)
    assert caught.value.hint == "temperature's tenths is an integer, -32768 to 32767"


def test_fields_of_every_kind() -> None:
    class Every(OptionValue, name="every", number=0xDE, unknown=Action.REPORT_UNICAST, mutable=False):
        head: Annotated[int, Bits(12)]
        even: Annotated[int, Bits(3, unit=2)]
        flag: Flag
        seal: Annotated[bytes, Octets(3)]
        rest: Rest = b""

    value = Every(0xABC, 10, True, b"abc", b"12345")
    assert value.option().data == b"\xab\xcb" + b"abc" + b"12345"
    assert Every.decode(value.encode()) == value
    assert Every.decode(b"\0\0abc") == Every(0, 0, False, b"abc")
    assert parse_option("every=0xabc,even=10,flag=yes,seal=616263,rest=3132333435") == value.option()
    for wrong in ({"even": 9}, {"even": 16}, {"flag": 2}, {"seal": b"ab"}, {"rest": "text"}):
        with pytest.raises(EncapError):
            Every(**{**value.values(), **wrong})
    with pytest.raises(EncapError, match="4 octets of data") as caught:
        Every.decode(b"\0\0ab")
    assert caught.value.hint == "it has 5 or more"


def declare(**given: Any) -> type[Any]:
    """A class as a program would write it."""
    settings = {"name": "made", "number": 0x1E, **{key: given.pop(key) for key in list(given) if key in KEYS}}
    return type("Made", (OptionValue,), {"__annotations__": given, "__module__": __name__}, **settings)


KEYS = ("name", "number", "singleton", "fill", "unknown", "mutable")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"number": 0x58, "id": U8}, "group .0x58. of gutctl._wire.options is there"),
        ({"name": "timing", "id": U8}, "timing .0x1c. of gutctl._wire.options is there"),
        ({"number": 0x01, "id": U8}, "option type is 1"),
        ({"number": 256, "id": U8}, "option type is 256"),
        ({"name": "Loud", "id": U8}, "option name 'Loud'"),
        ({"name": "a--b", "id": U8}, "option name"),
        ({"name": "x" * 32, "id": U8}, "option name"),
        ({"unknown": Action.DROP, "id": U8}, "0x1e says SKIP, not DROP"),
        ({"mutable": True, "id": U8}, "says mutable=False"),
        ({"fill": ("time",), "id": U8}, "fill names no field: time"),
        ({"values": U8}, "a field cannot be called values"),
        ({"id": int}, "id has no size"),
        ({"id": Annotated[int, Bits(7)]}, "the fields have 7 bits"),
        ({"id": Annotated[int, Bits(0)]}, "at least one bit|Bits"),
        ({"id": Annotated[int, Bits(4)], "more": Rest}, "field more begins at bit 4"),
        ({"all": Rest, "more": U8}, "field all takes all that is left"),
    ],
)
def test_a_declaration_that_cannot_be(given: dict[str, Any], said: str) -> None:
    before = list(ext_api.types())
    with pytest.raises(EncapError, match=said):
        declare(**given)
    assert list(ext_api.types()) == before


def test_an_option_without_fields() -> None:
    kind = declare()
    assert kind().option() == Option(0x1E) == parse_option("made")
    assert format_option(kind().option()) == "made"


def test_a_module_that_is_loaded_again_declares_the_same() -> None:
    first = declare(id=U8)
    second = declare(id=U16)
    assert ext_api.type_of("made") is second.type
    assert first.type is not second.type


@given(values)
def test_what_is_written_is_taken(value: OptionValue) -> None:
    option = value.option()
    text = format_option(option)
    assert parse_option(text) == option
    assert not any(character.isspace() for character in text)


@given(st.integers(2, 255), st.binary(max_size=30))
def test_any_octets_can_be_written(kind: int, data: bytes) -> None:
    option = Option(kind, data)
    assert parse_option(format_option(option)) == option
    assert parse_option(f"0x{kind:02x}={data.hex()}") == option


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("group=7", "group=7"),
        ("group=id=0x10", "group=16"),
        ("timing", "timing"),
        ("min-path-mtu", "min-path-mtu"),
        ("min-path-mtu=reply=yes", "min-path-mtu=reply=yes"),
        ("min-path-mtu=1500,reported=1280", "min-path-mtu=1500,reported=1280"),
        ("auth=5", "auth=5"),
        ("alternate-marking=70000,loss=1", "alternate-marking=70000,loss=yes"),
        ("0x3e=00D703", "0x3e=00d703"),
        ("0x7f=", "0x7f="),
    ],
)
def test_as_people_write_it(text: str, written: str) -> None:
    assert format_option(parse_option(text)) == written


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("group", "option group: option group without id", "group=id=..."),
        ("group=", "group's id is ''", "a number, 0 to 4294967295"),
        ("group=x", "group's id is 'x'", "a number, 0 to 4294967295"),
        ("group=4294967296", "group's id is 4294967296", "an integer, 0 to 4294967295"),
        ("group=7,7", "option group=7,7: '7'", "fields of group: id; written FIELD=VALUE"),
        ("group=7,id=7", "id twice", None),
        ("group=name=x", "'name=x'", "fields of group: id"),
        ("timing=sequence=1,speed=2", "'speed=2'", "fields of timing: sequence, transmitted_ns"),
        ("min-path-mtu=reply=perhaps", "reply is 'perhaps'", "yes or no"),
        ("remote-checksum=1,offset=2", "even numbers", None),
        ("auth=1,tag=zz", "tag is 'zz'", "octets in hex"),
        ("observed-address=1", "'1'", "fields of observed-address: none"),
        ("ioam=1", "option ioam has no fields", "give it as octets: 0x31=HEX"),
        ("0x3e=0", "'0' is no hex", "octets in hex"),
        ("0x3e=" + "00" * 123, "an option with 123 octets of data", "a header has room for 122"),
        ("0=", "option 0: a type is a number", "padding"),
        ("1=00", "option 1: a type is a number", "padding"),
        ("256=00", "option 256: a type is a number", None),
        ("7z=00", "option 7z: a type is a number", None),
    ],
)
def test_what_is_no_option(text: str, said: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse_option(text)
    assert said in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["humidity=3", "", "=3"])
def test_a_type_that_nobody_declared(text: str) -> None:
    with pytest.raises(NotFoundError, match="is not known"):
        parse_option(text)


def squeezed(text: str) -> str:
    """With one space between columns."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three packages are installed: one is good, one breaks, one takes a number that is taken."""
    sources = {
        "weather": "from gutctl.ext_api import OptionValue, S16\n"
        "class Temperature(OptionValue, name='temperature', number=0x3E):\n    tenths: S16\n",
        "broken": "import nowhere_to_be_found\n",
        "greedy": "from gutctl.ext_api import OptionValue, U8\nclass Mine(OptionValue, name='mine', number=0x58):\n    id: U8\n",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}_options.py").write_text(source)
        about = tmp_path / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[gutctl.options]\n{name} = {name}_options\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(ext_api, "_loaded", None)
    yield
    for name in sources:
        sys.modules.pop(f"{name}_options", None)


def test_packages_add_types(packages: None) -> None:
    lost = ext_api.load()
    assert [one.name for one in lost] == ["broken = broken_options", "greedy = greedy_options"]
    assert "nowhere_to_be_found" in lost[0].why and "is there" in lost[1].why
    assert parse_option("temperature=215") == Option(0x3E, b"\0\xd7")
    listed = must(MACHINE, "ext list")
    assert "temperature 0x3e 2 skip yes weather_options" in squeezed(listed.out)
    assert listed.err.count("left out: ") == 2
    shown = must(MACHINE, "ext list --json").record["options"]
    assert {one["number"]: one["added_by"] for one in shown if one["added_by"]} == {0x3E: "weather_options"}
    decoded = must(MACHINE, "decode --as payload --hex 81040000" + "3e0200d7")
    assert "temperature tenths 215" in squeezed(decoded.out)


def test_list_and_show() -> None:
    listed = must(MACHINE, "ext list").out.splitlines()
    assert listed[0].split() == ["NAME", "TYPE", "OCTETS", "UNKNOWN", "CHANGES", "ADDED", "BY"]
    assert "group 0x58 4 drop no" in squeezed("\n".join(listed)).splitlines()
    assert len(listed) == 1 + len(list(ext_api.types()))
    assert must(MACHINE, "ext show 0x30").out.splitlines() == [
        "min-path-mtu: type 0x30",
        "  The least MTU met so far, and the one reported back, octets (RFC 9268).",
        "  octets        4",
        "  unknown       skip",
        "  changes       yes",
        "  at most once  no",
        "  fields",
        "    minimum   u16   by the kernel",
        "    reported  u15   default 0",
        "    reply     flag  default no",
    ]
    record = must(MACHINE, "ext show group --json").record["option"]
    assert record["fields"] == [{"name": "id", "size": "u32", "filled": False, "default": None}]
    assert record["singleton"] and record["unknown"] == "drop"
    assert "hint: gutctl ext list" in must(MACHINE, "ext show humidity", 5).err
    assert "0x77=HEX" in must(MACHINE, "ext show 0x77", 5).err
    assert "0x02 to 0xff" in must(MACHINE, "ext show 7x", 2).err
