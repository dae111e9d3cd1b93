# SPDX-License-Identifier: Apache-2.0
"""Files with the secret of a key of option auth: read, checked, found again."""

from __future__ import annotations

import base64
import binascii
import os
import stat

from gutctl._wire.auth import SECRET_MAX, SECRET_MIN, Key
from gutctl._wire.error import EncapError
from gutctl.errors import GutctlError, UsageError

__all__ = ["format_key", "key_from", "parse_key", "read_secret", "secret_of"]

_NAME_MAX = 127
"""Octets of a file's name that the kernel keeps."""


def read_secret(path: str) -> bytes:
    """The secret in a file: 16 to 64 octets as hex or base64 text, or 32 octets as they are.

    Raises:
        UsageError: it cannot be read, holds no secret, or others than its owner and group may read or change it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise UsageError(f"key file {path}: it is no file")
            if about.st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
                raise UsageError(f"key file {path}: others may read or change it", f"chmod 600 {path}")
            data = file.read(1025)
    except OSError as error:
        raise UsageError(f"key file {path}: {error.strerror}") from None
    secret = _secret(data)
    if secret is None:
        raise UsageError(
            f"key file {path}: no secret in it",
            f"32 octets, or {SECRET_MIN} to {SECRET_MAX} as hex or base64: (umask 077; openssl rand -hex 32 > {path})",
        )
    return secret


def _secret(data: bytes) -> bytes | None:
    word = data.strip()
    for decode in (bytes.fromhex, lambda text: base64.b64decode(text, validate=True)):
        try:
            found = decode(word.decode("ascii"))
        except (ValueError, binascii.Error):
            continue
        if SECRET_MIN <= len(found) <= SECRET_MAX:
            return found
    # that these could be read as text is as good as impossible
    return data if len(data) == 32 else None


def key_from(number: int, path: str, direction: int = 0) -> Key:
    """The key that a file holds.

    Raises:
        UsageError: see :func:`read_secret`; or the name is longer than 127 octets.
    """
    name = os.path.abspath(path)
    if len(os.fsencode(name)) > _NAME_MAX:
        raise UsageError(f"key file {path}: its name has more than {_NAME_MAX} octets")
    try:
        return Key.of(number, read_secret(path), name, direction)
    except EncapError as error:
        raise UsageError(f"key {number}: {error.what}", error.hint) from None


def secret_of(key: Key) -> bytes:
    """Its secret, from its file where only that is known: the kernel tells none.

    Raises:
        GutctlError: the file is gone, or holds another secret by now.
    """
    if key.secret:
        return key.secret
    try:
        found = key_from(key.id, key.name, key.direction) if key.name else None
    except UsageError as error:
        raise GutctlError(f"key {key.id}: its secret is not known any more: {error}", error.hint) from None
    if found != key:
        where = f"{key.name} holds another one" if key.name else "it was from no file"
        raise GutctlError(f"key {key.id} ({key.fingerprint}): its secret is not known any more: {where}")
    assert found is not None
    return found.secret


def parse_key(text: str, what: str) -> Key:
    """A key as people write it: ``7=@FILE``, ``7,key=@FILE,direction=1``; the direction may be left out.

    Raises:
        UsageError: it is none, with ``what`` in front; or the file is amiss, see :func:`key_from`.
    """
    number, equals, rest = text.partition("=@")
    if number.endswith(",key"):
        number = number.removesuffix(",key")
    path, _, direction = rest.partition(",direction=")
    if not equals or not path or direction not in ("", "0", "1"):
        raise UsageError(f"{what}: no key", "ID and file, as 7=@/etc/gutctl/west.key or auth=7,key=@FILE; with ,direction=1 for the way back")
    try:
        value = int(number, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFF:
        raise UsageError(f"{what}: key {number or 'without an id'}", "a number, 0 to 65535, as the other end has it")
    return key_from(value, path, int(direction or 0))


def format_key(key: Key, between: str = "=@") -> str:
    """A key as :func:`parse_key` takes it; never its secret."""
    comma = "," if between.startswith("key") else ""
    return f"{key.id}{comma}{between}{key.name or '?'}{',direction=1' if key.direction else ''}"
