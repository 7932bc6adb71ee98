"""Logs of the local cluster that do not fill the disk: what is too long is kept once, and begun anew."""

from __future__ import annotations

import shutil
from pathlib import Path

LONGEST = 16 * 1024 * 1024
"""Bytes of one log, at most, when it is looked at; as many again are kept in ``NAME.log.1``."""

INTERVAL = 60.0
"""Seconds between two looks."""


def rotate(folder: Path, longest: int = LONGEST) -> list[Path]:
    """Copy each log longer than ``longest`` bytes to ``NAME.log.1`` and empty it; return those.

    Their writers hold them open for appending and go on at the new end. A line written between
    the copy and the emptying is lost, which a log for people bears. Raises OSError.
    """
    rotated = []
    for path in sorted(folder.glob("*.log")):
        if path.stat().st_size > longest:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            with path.open("r+b") as log:
                log.truncate(0)
            rotated.append(path)
    return rotated
