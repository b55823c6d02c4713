"""Documents of files, checked against the types that describe them. Needs the extra ``train``."""

from __future__ import annotations

from typing import TypeVar, cast

import msgspec

from ...envs import text

Kind = TypeVar("Kind")


def checked(document: object, kind: type[Kind], source: object) -> Kind:
    """A document, which is what a type says: a number is no text and no truth value, and a row has its length.

    Args:
        document: as JSON has it.
        kind: a TypedDict; entries that it does not name may be anything.
        source: the file, for messages.

    Raises:
        ValueError: it is something else; the message names the file and the entry.
    """
    try:
        msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"run: {text.shown(str(source))!r} cannot be read: {error}") from error
    return cast(Kind, document)
