"""Keeps an engine with the images until Ctrl-C or SIGTERM: `python -m tests.docker`."""

from __future__ import annotations

import signal
import sys

from tests.docker.engine import KEPT, engine

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what it has made is removed
    with engine() as made:
        print(f"export {KEPT}={made.directory} DOCKER_HOST=unix://{made.socket}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending")
