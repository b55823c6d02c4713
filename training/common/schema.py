"""Documents of files, checked against the types that describe them. Needs the extra ``train``."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ...envs import text

Kind = TypeVar("Kind")


def checked(document: object, kind: type[Kind], source: object) -> Kind:
    """A document as a type says it is: a number is no text and no truth value, and a list has its length.

    Args:
        document: as JSON has it.
        kind: a TypedDict, whose other entries stay out, or a ``msgspec.Struct``.
        source: the file, for messages.

    Raises:
        ValueError: it is something else; the message names the file and the entry.
    """
    try:
        return msgspec.convert(document, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"run: {text.shown(str(source))!r}: {error}") from error
