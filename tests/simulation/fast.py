"""Texts of values without JSON, for speed: equal values have equal texts, and reading gives the value back.

What real JSON does beyond that (unknown fields, malformed text) is tested in tests/unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from bootstrap import exchange

T = TypeVar("T")

_texts: dict[object, str] = {}
_values: dict[str, object] = {}


def dump(value: object) -> str:
    key = (type(value), value)
    text = _texts.get(key)
    if text is None:
        text = f"{type(value).__name__} {len(_texts)}"
        _texts[key] = text
        _values[text] = value
    return text


def load(kind: type[T], text: str) -> T:
    value = _values[text]
    assert isinstance(value, kind)
    return value


@contextmanager
def texts() -> Iterator[None]:
    """Within, the agent writes and reads values by these functions."""
    former = exchange.dump, exchange.load
    exchange.dump, exchange.load = dump, load  # type: ignore[assignment]
    try:
        yield
    finally:
        exchange.dump, exchange.load = former
        _texts.clear()
        _values.clear()
