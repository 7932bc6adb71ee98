"""``python -m tests.faults.table FOLDER…``: the tables of rounds that were made, from the logs that they left."""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path

from tests.faults import kinds
from tests.faults.rounds import Result

GROWTH = 8192
"""KiB of resident memory by which a part may have grown: Python's and MariaDB's allocators do not give back at once."""


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def summary(results: list[Result]) -> str:
    """One line per kind of fault: rounds it was in, violations, and the slowest return of writes and of full strength."""
    found: dict[str, list[Result]] = collections.defaultdict(list)
    for result in results:
        for kind in set(result.kinds):
            found[kind].append(result)
    lines = [
        "",
        f"{'fault':<20} {'rounds':>6} {'violations':>10} {'writes':>8} {'full strength':>14}   (slowest, s after healing)",
    ]
    for kind in sorted(kinds.KINDS):
        those = found.get(kind, [])
        writes = max((result.writes for result in those if result.writes is not None), default=None)
        full = max((result.full for result in those if result.full is not None), default=None)
        bad = sum(len(result.violations) for result in those)
        lines.append(f"{kind:<20} {len(those):>6} {bad:>10} {shown(writes):>8} {shown(full):>14}")
    return "\n".join(lines)


def leaks(results: list[Result]) -> tuple[str, list[str]]:
    """What each agent, health endpoint and watcher took at the end of the first and of the last round that it lived
    through (of each part the process that lived longest); and what has grown by more than a busy moment explains."""
    lives: dict[str, dict[int, list[dict[str, int]]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for result in results:
        for part, sizes in result.notes.get("sizes", {}).items():
            lives[part][sizes["pid"]].append(sizes)
    lines, grown = ["", f"{'part':<10} {'rounds':>6} {'memory, KiB':>18} {'threads':>10} {'open files':>12}"], []
    for part, processes in sorted(lives.items()):
        life = max(processes.values(), key=len)
        first, last = life[0], life[-1]
        change = {what: f"{first[what]} > {last[what]}" for what in ("rss", "threads", "files")}
        lines.append(f"{part:<10} {len(life):>6} {change['rss']:>18} {change['threads']:>10} {change['files']:>12}")
        for what, most in (("rss", GROWTH), ("threads", 2), ("files", 40)):
            if last[what] - first[what] > most:
                grown.append(f"leak: {what} of {part} went from {first[what]} to {last[what]} in {len(life)} rounds")
    return "\n".join(lines), grown


def read(folder: Path) -> list[Result]:
    """The rounds of one run, in their order. Raises OSError, ValueError."""
    found = []
    for file in folder.glob("round-*.json"):
        said = json.loads(file.read_text())
        said["kinds"] = tuple(said["kinds"])
        found.append(Result(**said))
    return sorted(found, key=lambda result: result.number)


def main(folders: list[str]) -> int:
    runs = [read(Path(folder)) for folder in folders]
    results = [result for run in runs for result in run]
    print(summary(results))
    grown = []
    for folder, run in zip(folders, runs, strict=True):
        table, more = leaks(run)
        print(f"\n{folder}: {sum(result.notes.get('seconds', 0) for result in run):.0f} s in rounds{table}")
        grown += more
    violations = sum(len(result.violations) for result in results) + len(grown)
    for text in grown:
        print(text)
    print(f"{len(results)} rounds, {violations} violations")
    return 1 if violations or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
