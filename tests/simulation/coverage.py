"""What a series of schedules has been through: branches of decide, kinds of faults, pairs of kinds."""

from __future__ import annotations

import ast
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bootstrap import decide, decisions, forming, joining, obey, running, stopped, unserved
from tests.simulation.schedule import FAULT_KINDS, Outcome

RULES = (decide, stopped, forming, joining, obey, running, unserved)
"""The modules whose decisions are counted."""

Site = tuple[str, int]  # module and line

DEFENSIVE = (
    "Two histories of this cluster are on the disks",
    "once held data and now reports a new disk; an empty start",
    "waiting for the server to report its view",
    "not in the Primary Component that was to be bootstrapped",
    "could not be made the Primary Component",
    "waiting for the server of {listed(running)} to stop, since the commits between",
    "was given for another position",
    "ordered: Wait: failed",
    "may hold the commits between, but it can be no candidate",
    "drain: ",
)
"""Branches for what only a person or a mistaken program can bring about, and those of a drain, which concerns clients
only; tests/unit/test_decide.py has them."""


class Coverage:
    """Counts; see :meth:`table` and :meth:`zeros`."""

    def __init__(self) -> None:
        self.sites: dict[Site, str] = {}
        self.lines: Counter[Site] = Counter()
        self.faults: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.schedules = 0
        for module in RULES:
            source = Path(str(module.__file__)).read_text()
            for function in ast.walk(ast.parse(source)):
                if isinstance(function, ast.FunctionDef):
                    for call in ast.walk(function):
                        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Decision":
                            self.sites[module.__name__, call.lineno] = f"{function.name}: {_head(call, source)}"

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Within, each branch of ``decide`` counts itself."""
        former: Any = decisions.Decision
        lines = self.lines

        def counted(*args: Any, **fields: Any) -> Any:
            frame = sys._getframe(1)
            lines[frame.f_globals["__name__"], frame.f_lineno] += 1
            return former(*args, **fields)

        for module in RULES:
            module.Decision = counted  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for module in RULES:
                module.Decision = former  # type: ignore[attr-defined]

    def add(self, outcome: Outcome) -> None:
        self.schedules += 1
        self.faults.update(outcome.faults)
        self.pairs.update(itertools.combinations(sorted(outcome.faults), 2))

    def zeros(self) -> list[str]:
        """What never happened."""
        found = [f"branch {text}" for line, text in self.sites.items() if not self.lines[line] and not _defensive(text)]
        found += [f"fault {kind}" for kind in FAULT_KINDS if not self.faults[kind]]
        found += [
            f"pair {one} and {two}" for one, two in itertools.combinations(FAULT_KINDS, 2) if not self.pairs[one, two]
        ]
        return found

    def table(self) -> str:
        rows = [f"{self.lines[line]:>10}  {text}" for line, text in sorted(self.sites.items())]
        rows += [f"{self.faults[kind]:>10}  fault {kind}" for kind in FAULT_KINDS]
        rarest = min(
            (self.pairs[pair], " and ".join(pair)) for pair in itertools.combinations(FAULT_KINDS, 2)
        )  # fmt: skip
        rows.append(f"{len(self.pairs):>10}  pairs of kinds of faults; the rarest: {rarest[1]}, {rarest[0]} times")
        return "\n".join(rows)


def _defensive(text: str) -> bool:
    return any(words in text for words in DEFENSIVE)


def _head(call: ast.Call, source: str) -> str:
    action = ast.get_source_segment(source, call.args[0]) if call.args else ""
    words = next(
        (node.value for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str)), ""
    )
    sentence = call.args[1] if len(call.args) > 1 else None
    if isinstance(sentence, ast.Constant | ast.JoinedStr):
        words = ast.unparse(sentence).lstrip("f").strip("'\"")
    return f"{(action or '').split('(')[0]}: {words[:90]}"
