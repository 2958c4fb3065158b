"""Bad input, answered in one clear sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache, partial
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin, get_type_hints


class ConfigurationError(ValueError):
    """Input that the library does not accept: one sentence that names the value and what is allowed.

    In a notebook the sentence is shown alone, without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"Refused: {self}"]


def shown(value: object) -> str:
    """Return a value as Python writes it, at most 200 characters of it."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4 300 digits
        text = f"a {type(value).__name__} too long to be shown"
    return text if len(text) <= 200 else f"{text[:190]} ... {text[-5:]}"


def nearest(word: object, allowed: Iterable[str]) -> str:
    """Return a question after the closest allowed name, or an empty string.

    Example:
        >>> nearest("lenett", ["atn", "lenet"])
        " Did you mean 'lenet'?"
    """
    match = difflib.get_close_matches(
        word if isinstance(word, str) else shown(word), [str(name) for name in allowed], n=1, cutoff=0.5
    )
    return f" Did you mean {match[0]!r}?" if match else ""


def choose(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed`.

    Raises:
        ConfigurationError: `value` is something else; the sentence names it, the choices and the nearest one.
    """
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigurationError(
            f"{name}={shown(value)} is not one of {', '.join(map(str, allowed))}.{nearest(value, allowed)}"
        )
    return value


def within(name: str, value: float, low: float, high: float, unit: str = "", whole: bool = False) -> float:
    """Return `value` if it is a number in [low, high], a whole one if `whole`.

    Raises:
        ConfigurationError: not such a number, not finite, or outside; the sentence names value, bounds and unit.
    """
    unit = f" {unit}" if unit else ""
    wrong_type = isinstance(value, bool) or not isinstance(value, int if whole else (int, float))
    if wrong_type or not low <= value <= high:
        kind = "whole number" if whole else "number"
        raise ConfigurationError(f"{name}={shown(value)} must be a {kind} from {low:g} to {high:g}{unit}.")
    return value


_hints = cache(partial(get_type_hints, include_extras=True))


def check(settings: object) -> None:
    """Hold the fields of a dataclass to what their annotations declare.

    `Annotated[float, low, high]`, with a unit if there is one, or `Annotated[int, low, high]`: a number in [low, high];
    `Literal["one", "other"]`: one of these; `bool`. Where `| None` follows, None is accepted too.

    Raises:
        ConfigurationError: see `within` and `choose`.
    """
    for name, hint in _hints(type(settings)).items():
        if NoneType in get_args(hint):
            hint = None if getattr(settings, name) is None else get_args(hint)[0]
        kind, arguments = get_origin(hint) or hint, get_args(hint)
        if kind is Annotated:
            within(name, getattr(settings, name), *arguments[1:], whole=arguments[0] is int)
        elif kind is Literal:
            choose(name, getattr(settings, name), arguments)
        elif kind is bool and not isinstance(value := getattr(settings, name), bool):
            raise ConfigurationError(f"{name}={shown(value)} must be True or False.")
