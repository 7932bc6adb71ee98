"""Commands by which a person orders something of the agents. What they order stands in the registry."""

from __future__ import annotations

import sys
from pathlib import Path

from galerist.cli.show import opened
from galerist.registry.keys import Keys
from galerist.settings import Settings


def load_command(settings: Settings | None, dir: Path | None, retry: bool) -> int:
    """``galerist load``. Returns the exit code: 1 when the load has failed, or there is nothing to retry."""
    from bootstrap.load import order_retry, read_record

    with opened(settings, dir) as (registry, cluster):
        keys = Keys(cluster)
        if retry:
            try:
                print(order_retry(registry, keys))
            except ValueError as error:
                print(f"galerist: {error}", file=sys.stderr)
                return 1
            return 0
        record = read_record(registry.get(keys.init))
        if record is None:
            print("No load has begun: either no dumps are given (init_sql), or the cluster has not reached its size.")
            return 0
        if record.status == "failed":
            print(f"failed: {record.error}\nRun galerist load --retry when the cause is mended.")
            return 1
        print(f"{record.status}: {record.percent} % of {record.file or 'the dumps'}, by {record.by}")
        return 0
