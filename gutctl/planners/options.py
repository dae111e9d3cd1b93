# SPDX-License-Identifier: Apache-2.0
"""Options of a profile or tunnel: what can be sent, and how they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gutctl._wire.auth import KeyedOption
from gutctl._wire.options import AREA_MAX, AUTH, REMOTE_CHECKSUM, SINGLETONS, TIMING
from gutctl._wire.optiontype import Option
from gutctl.errors import UnsupportedError, UsageError
from gutctl.ext_api import format_option
from gutctl.model import Format, Info, Profile

__all__ = ["check_options", "option_words_for"]


def option_words_for(options: Iterable[Option]) -> str:
    """The options of the command line that set them."""
    return " ".join(f"--option {format_option(option)}" for option in options) or "--no-options"


def check_options(profile: Profile, info: Info | None = None) -> None:
    """Raise UsageError for options no profile can have, UnsupportedError where ``info`` is of a module without them."""
    if not profile.options and not profile.rules and not profile.room:
        return
    if info is not None and "options" not in info.features:
        raise UnsupportedError("the loaded gutless module sends no options", "load a newer one")
    if profile.options and profile.format is not Format.GUTLESS:
        raise UsageError(f"--option: format {profile.format} has none", "--format gutless")
    octets = 4 * profile.words
    if octets > AREA_MAX:
        raise UsageError(f"--option: {octets} octets of options", f"a header has room for {AREA_MAX}")
    for kind, count in Counter(option.type for option in profile.options).items():
        if count > 1 and (kind in SINGLETONS or kind == TIMING):
            raise UsageError(f"--option {format_option(_first(profile, kind))}: it stands in a header once")
    for option in profile.options:
        if option.type == REMOTE_CHECKSUM:
            raise UsageError("--option remote-checksum: it is the kernel that fills it in", "--csum remote")
        if option.type == AUTH:
            _check_auth(option, info)
        if option.padding:
            raise UsageError("--option: padding goes in by itself")


def _check_auth(option: Option, info: Info | None) -> None:
    if not isinstance(option, KeyedOption):
        raise UsageError("--option auth: without a key nothing can be signed", "--option auth=ID,key=@FILE")
    if info is not None and "auth" not in info.features:
        raise UnsupportedError("the loaded gutless module signs no packets", "load a newer one")


def _first(profile: Profile, kind: int) -> Option:
    return next(option for option in profile.options if option.type == kind)
