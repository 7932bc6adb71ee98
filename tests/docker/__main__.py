"""Keeps an engine with the images until Ctrl-C: `python -m tests.docker`."""

from __future__ import annotations

import signal

from tests.docker.engine import KEPT, engine

if __name__ == "__main__":
    with engine() as made:
        print(f"export {KEPT}={made.directory} DOCKER_HOST=unix://{made.socket}", flush=True)
        try:
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        except KeyboardInterrupt:
            print("ending")
