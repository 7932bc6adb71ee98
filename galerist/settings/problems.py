"""What can be wrong with settings, and the secrets among them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. ``value`` is None where it is missing or a secret; ``where`` says where it came from."""

    key: str
    value: str | None
    where: str
    text: str
    remedy: str

    def __str__(self) -> str:
        given = "" if self.value is None else f" = {self.value!r}"
        origin = f" ({self.where})" if self.where else ""
        return f"{self.key}{given}{origin}: {self.text}; {self.remedy}"


class SettingsError(Exception):
    """All that is wrong with the settings; str() has a line for each problem."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def bare(text: str) -> str:
    """A secret as its file holds it, without the end of the line."""
    return text.removesuffix("\n").removesuffix("\r")


class Secret:
    """A text that shows itself only when asked, so that no log or traceback holds it."""

    __slots__ = ("_file", "_text")

    def __init__(self, text: str, file: Path | None = None) -> None:
        self._text, self._file = text, file

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def reread(self) -> str:
        """The secret as its file holds it now, else as it was: for what outlives a change of it."""
        if self._file is not None:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                return bare(self._file.read_text(encoding="utf-8")) or self._text
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__
