"""Names that have to be of a known set: what is said of another one, and which of them it was meant for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

_MOST = 3
"""names that are suggested at once"""
_LEAST, _TIE, _SURE = 0.6, 0.1, 0.85
"""similarities, from 0 to 1, as difflib has them: of a suggestion; by which others may be less near than the nearest;
beyond which names that only begin with what is given are no suggestion"""


def unknown(
    what: str, given: object, known: Iterable[str], where: str = "", *, some: bool = False, more: str = ""
) -> ValueError:
    """The error for a name that is not of a known set, with the near ones where there are any.

    >>> print(unknown("scenario", "acass", ["acas", "dealers"], more=" or a path"))
    unknown scenario 'acass': did you mean 'acas'? expected one of ['acas', 'dealers'] or a path

    Args:
        what: the kind of name.
        given: in its place.
        known: the names, to be listed.
        where: behind the name, as in ``" in scenario 'acas'"``.
        some: True if several of them may be given.
        more: behind the list.
    """
    listed = list(known)
    expected = f"expected {'some' if some else 'one'} of {listed}{more}"
    return ValueError(f"unknown {what} {given!r}{where}: {suggestion(given, listed)}{expected}")


def suggestion(given: object, known: Iterable[str]) -> str:
    """``"did you mean 'acas'? "``, or nothing where no name is near."""
    found = [repr(each) for each in near(given, known)]
    if not found:
        return ""
    *others, last = found
    return f"did you mean {', '.join(others)} or {last}? " if others else f"did you mean {last}? "


def near(given: object, known: Iterable[str]) -> list[str]:
    """The names that one was meant for, the nearest first: with a dot before it (``gamma`` for ``competition.gamma``),
    abbreviated, or written like it; otherwise as one of their words (``impact`` for ``permanent_impact``)."""
    if not isinstance(given, str) or not given:
        return []
    names = {each.lower(): each for each in known}
    sought = given.lower()
    if sought in names:
        return [names[sought]]
    inner = [each for each in names if each.endswith(f".{sought}")]
    table, dot, last = sought.rpartition(".")  # of a dotted name the last part is compared
    siblings = [each.removeprefix(table + dot) for each in names if each.startswith(table + dot)]
    found = inner or [table + dot + each for each in _alike(last, siblings)]
    found = found or [each for each in names if sought in re.split("[._-]", each)]
    return [names[each] for each in found[:_MOST]]


def _alike(sought: str, names: list[str]) -> list[str]:
    if 0 < len(sought) < 4:  # of so few letters two that agree are chance
        names = [each for each in names if each.startswith(sought[0])]
    closeness = max((SequenceMatcher(None, each, sought).ratio() for each in names), default=0.0)
    alike = get_close_matches(sought, names, _MOST, max(_LEAST, closeness - _TIE))
    longer = [each for each in names if len(sought) > 2 and each.startswith(sought)]
    return alike if closeness > _SURE else list(dict.fromkeys([*alike, *sorted(longer, key=len)]))
