# SPDX-License-Identifier: Apache-2.0
"""The interface that controls extensibility: declare a type of option, name it, write it down, watch it come in
(docs/extensions.md).

>>> class Temperature(OptionValue, name="temperature", number=0x3E):
...     \"\"\"Of the sender, in tenths of a degree Celsius.\"\"\"
...     tenths: S16
...     sensor: U8 = 0
>>> Temperature(215, sensor=3).option().encode().hex()
'3e0300d703'
>>> parse_option("temperature=215,sensor=3") == Temperature(215, 3).option()
True

>>> with watch("west", Temperature) as seen:  # doctest: +SKIP
...     for one in seen:
...         print(one.peer, one.time, one.value.tenths)

A package makes its types known under the entry point group ``gutctl.options``: the name is free, the value is
the module that declares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from gutctl._wire.auth import KeyedOption
from gutctl._wire.error import EncapError
from gutctl._wire.layout import S8, S16, S32, S64, U8, U16, U32, U64, Bits, Flag, Octets, Rest
from gutctl._wire.options import AREA_MAX, EXPERIMENTS, Auth, option_value, pad
from gutctl._wire.optiontype import Action, Option, OptionType, OptionValue, type_of, types
from gutctl._wire.rule import ReceiveRule, RuleAction, RuleStats
from gutctl.errors import NotFoundError, UsageError
from gutctl.keyfile import format_key, parse_key
from gutctl.watching import Delivered, Lost, Watch, Where

__all__ = [
    "AREA_MAX",
    "EXPERIMENTS",
    "GROUP",
    "S8",
    "S16",
    "S32",
    "S64",
    "U8",
    "U16",
    "U32",
    "U64",
    "Action",
    "Bits",
    "Delivered",
    "EncapError",
    "Flag",
    "Lost",
    "Octets",
    "Option",
    "OptionType",
    "OptionValue",
    "ReceiveRule",
    "Rest",
    "RuleAction",
    "RuleStats",
    "Unloaded",
    "Watch",
    "Where",
    "format_option",
    "format_rule",
    "load",
    "option_value",
    "pad",
    "parse_option",
    "parse_rule",
    "type_named",
    "type_number",
    "type_of",
    "types",
    "watch",
]

if TYPE_CHECKING:
    from gutctl.world import World

GROUP = "gutctl.options"
"""Entry points by which packages make their types known."""


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A package whose types could not be had, and why."""

    name: str
    why: str


_loaded: list[Unloaded] | None = None


def load() -> tuple[Unloaded, ...]:
    """Import what other packages declare, once; those that cannot be, which are left out."""
    global _loaded
    if _loaded is None:
        _loaded = []
        for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
            _load(point, _loaded)
    return tuple(_loaded)


def _load(point: EntryPoint, lost: list[Unloaded]) -> None:
    try:
        point.load()
    except Exception as error:  # noqa: BLE001  (whatever the package does must not keep the tool from working)
        said = error.what if isinstance(error, EncapError) else f"{type(error).__name__}: {error}"
        lost.append(Unloaded(f"{point.name} = {point.value}", said))


def type_named(word: str) -> OptionType:
    """The type by its name or number, as people write it: ``timing``, ``0x1c``.

    Raises:
        UsageError: a number outside 2 to 0xff, or neither.
        NotFoundError: nobody declared it.
    """
    load()
    if not word[:1].isdigit():
        found = type_of(word)
        if found is None:
            raise NotFoundError(f"option {word} is not known", "gutctl ext list has all; any type can be given by number, as 0x3e=HEX")
        return found
    number = _number(word)
    found = type_of(number)
    if found is None:
        raise NotFoundError(f"nobody declared option 0x{number:02x}", f"it can be given as octets: 0x{number:02x}=HEX")
    return found


def type_number(word: str) -> int:
    """The number of a type by its name or number, declared or not. Raises as :func:`type_named` does."""
    return _number(word) if word[:1].isdigit() else type_named(word).number


def _number(word: str) -> int:
    try:
        number = int(word, 0)
    except ValueError:
        number = -1
    if not 2 <= number <= 0xFF:
        raise UsageError(f"option {word}: a type is a number, 0x02 to 0xff", "padding, 0 and 1, goes in by itself")
    return number


def parse_option(text: str) -> Option:
    """An option as people write it: ``group=7``, ``timing``, ``temperature=215,sensor=3``, ``0x3e=00d703``.

    The first value may go without its field's name; fields with a default, and those the kernel fills, may be left out.

    Raises:
        UsageError: it is none, with what is wrong.
        NotFoundError: nobody declared a type of that name.
    """
    word, equals, rest = text.partition("=")
    if word[:1].isdigit():
        try:
            return Option(_number(word), bytes.fromhex(rest))
        except ValueError as error:
            hint = error.hint if isinstance(error, EncapError) else "octets in hex, such as 0x3e=00d703"
            raise UsageError(f"option {text}: {_said(error, rest)}", hint) from None
    known = type_named(word)
    if known.value is Auth and "=@" in rest:
        return KeyedOption.of(parse_key(rest, f"option {text}"))
    if known.value is None:
        raise UsageError(f"option {word} has no fields", f"give it as octets: 0x{known.number:02x}=HEX")
    try:
        return known.value.parse(_words(known, text, rest) if equals else {}).option()
    except EncapError as error:
        raise UsageError(f"option {text}: {error.what}", error.hint) from None


def _said(error: ValueError, rest: str) -> str:
    return error.what if isinstance(error, EncapError) else f"{rest!r} is no hex"


def _words(known: OptionType, text: str, rest: str) -> dict[str, str]:
    names = list(known.layout.fields) if known.layout else []
    words: dict[str, str] = {}
    for at, part in enumerate(rest.split(",")):
        name, equals, value = part.partition("=")
        if not equals and at == 0 and names:
            name, value = names[0], part
        elif not equals or name not in names:
            raise UsageError(f"option {text}: {part!r}", f"fields of {known.name}: {', '.join(names) or 'none'}; written FIELD=VALUE")
        if name in words:
            raise UsageError(f"option {text}: {name} twice")
        words[name] = value
    return words


def format_option(option: Option) -> str:
    """The option as :func:`parse_option` takes it. Fields that may be left out are, where they say nothing."""
    if isinstance(option, KeyedOption):
        return f"auth={format_key(option.key, 'key=@')}"
    known = type_of(option.type)
    raw = f"0x{option.type:02x}={option.data.hex()}"
    if known is None or known.value is None or known.layout is None:
        return raw
    try:
        value = known.value.decode(option.data)
    except EncapError:
        return raw
    absent = known.value.left_out()
    first = next(iter(known.layout.fields), None)
    parts = [
        _written(item) if name == first else f"{name}={_written(item)}"
        for name, item in value.values().items()
        if name not in absent or absent[name] != item
    ]
    return f"{known.name}={','.join(parts)}" if parts else known.name


def _written(item: int | bool | bytes) -> str:
    if isinstance(item, bytes):
        return item.hex()
    return ("no", "yes")[item] if isinstance(item, bool) else str(item)


_RULES = {
    "ignore": (RuleAction.IGNORE, False),
    "deliver": (RuleAction.IGNORE, True),
    "require": (RuleAction.REQUIRE, False),
    "require+deliver": (RuleAction.REQUIRE, True),
    "drop": (RuleAction.DROP, False),
}
"""How rules are written: the action, and whether the option is delivered."""


def parse_rule(text: str) -> ReceiveRule:
    """A receive rule as people write it: ``TYPE=ACTION``, with a value ``TYPE=require=VALUE``.

    ACTION is ignore, require, drop, deliver or require+deliver, VALUE as in :func:`parse_option`:
    ``group=require=7``, ``temperature=deliver``, ``0x3e=require+deliver=00d703``.

    Raises:
        UsageError: it is none, with what is wrong.
        NotFoundError: nobody declared a type of that name.
    """
    word, _, rest = text.partition("=")
    action, equals, value = rest.partition("=")
    if action not in _RULES:
        raise UsageError(f"rule {text}: {action!r} is no action", f"{word}=ACTION: {', '.join(_RULES)}")
    number = type_number(word)
    what, deliver = _RULES[action]
    try:
        return ReceiveRule(number, what, deliver, parse_option(f"{word}={value}").data if equals else None)
    except EncapError as error:
        raise UsageError(f"rule {text}: {error.what}", error.hint) from None


def format_rule(rule: ReceiveRule) -> str:
    """The rule as :func:`parse_rule` takes it."""
    action = next(word for word, meant in _RULES.items() if meant == (rule.action, rule.deliver))
    known = type_of(rule.type)
    name = known.name if known else f"0x{rule.type:02x}"
    if rule.value is None:
        return f"{name}={action}"
    name, _, value = format_option(Option(rule.type, rule.value)).partition("=")
    # of fields that all say nothing nothing is left
    return f"{name}={action}={value}" if value else f"0x{rule.type:02x}={action}={rule.value.hex()}"


def watch(
    where: Where = None,
    *types: type[OptionValue] | OptionType | str | int,
    netns: str | int | None = None,
    timeout: float | None = None,
    ready: Callable[[], None] | None = None,
) -> Watch:
    """Options as they come in, of types that a port has a rule to deliver for: an iterator, and an asynchronous one.

    It yields :class:`Delivered`, and :class:`Lost` where the kernel had to leave out some because this reader was slow.
    ``with`` begins to listen, and closes; so does ``async with``. Needs CAP_NET_ADMIN.

    Args:
        where: a tunnel's name, a port's number, a port (:class:`gutctl.model.PortKey`); None: all of the namespace.
        types: classes, names or numbers of types; none given: all.
        netns: the network namespace, as for :class:`gutctl.netlink.Kernel`.
        timeout: seconds without anything after which iteration ends; None: it does not.
        ready: called when nothing can be missed any more.

    Raises:
        UsageError: a type that is no number of one.
        NotFoundError: a type that nobody declared; when it begins: there is no such tunnel.
    """
    load()

    def open_world() -> World:
        from gutctl.world import World

        return World(netns)

    return Watch(open_world, where, [_watched(one) for one in types], timeout, ready)


def _watched(which: type[OptionValue] | OptionType | str | int) -> int:
    if isinstance(which, str):
        return type_number(which)
    if isinstance(which, int):
        return _number(str(which))
    return which.number if isinstance(which, OptionType) else which.type.number
