"""``python -m tests.faults``: rounds of faults on the real parts. Exit code 0 only without a violation."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import kinds, rounds
from tests.faults.fleet import Fleet
from tests.faults.journal import Journal
from tests.faults.network import Needs, require, sweep
from tests.faults.probe import Prober
from tests.faults.rounds import Ledger, Result
from tests.faults.table import leaks, shown, summary
from tests.simulation import replay

LINE = "{:>5} {:>4} {:>4} {:>6} {:>6} {:>6} {:>6} {:>10}  {}"


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    try:
        require()
    except Needs as error:
        print(f"faults: {error}", file=sys.stderr)
        return 1
    sweep()
    top = Path(tempfile.mkdtemp(prefix=f"gfaults-log-{options.seed}-", dir="/tmp"))
    print(
        f"seed {options.seed}, {options.nodes} nodes{' and an arbitrator' * options.arbitrator}; a log of every round in {top}"
    )
    print(LINE.format("round", "gens", "ssts", "acked", "gap", "writes", "full", "violations", "faults"), flush=True)
    results = run(options, top)
    print(summary(results))
    if results:
        table, grown = leaks(results)
        print(table)
        results[-1].violations += grown
    violations = sum(len(result.violations) for result in results)
    for result in results:
        for text in result.violations:
            print(f"round {result.number}: {text}")
    print(f"{len(results)} rounds, {violations} violations")
    return 1 if violations or not results else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds")
    parser.add_argument("--seed", type=int, default=None, help="what the faults are drawn from (default: by chance)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first round, to replay one")
    parser.add_argument("--nodes", type=int, default=3, help="how many nodes (3 or 5; 2 with an arbitrator)")
    parser.add_argument("--arbitrator", action="store_true", help="a garbd is in the cluster")
    parser.add_argument("--sst", default=None, choices=("rsync", "mariabackup"), help="default: drawn from the seed")
    parser.add_argument("--kind", action="append", choices=sorted(kinds.KINDS), help="only these kinds, alone, in turn")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no round after so many seconds")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    if options.sst is None:
        options.sst = random.Random(f"{options.seed}/sst").choice(("rsync", "mariabackup"))
    return options


def run(options: argparse.Namespace, top: Path) -> list[Result]:
    """All rounds. A cluster that has violated a promise, or does not heal, is replaced by a new one."""
    results: list[Result] = []
    end = time.monotonic() + options.seconds
    number, last = options.first, options.first + options.rounds
    while number < last and time.monotonic() < end:
        with (
            Fleet(options.nodes, options.sst, options.arbitrator) as fleet,
            Prober(fleet) as prober,
            Journal(fleet) as journal,
        ):
            ledger = Ledger()
            try:
                rounds.begin(fleet, prober, ledger)
            except AssertionError as error:
                results.append(_show(Result(options.seed, number, None, [f"P4: {error}"]), fleet, top))
                return results
            while number < last and time.monotonic() < end:
                if options.kind:
                    name = options.kind[(number - options.first) % len(options.kind)]
                    plan = kinds.single(name, options.seed, number, fleet.nodes, fleet.etcds)
                else:
                    plan = kinds.draw(options.seed, number, fleet.nodes, fleet.etcds, fleet.arbitrators)
                result = rounds.play(fleet, prober, ledger, options.seed, number, plan)
                events = top / f"round-{number}.events"
                head = {"seed": options.seed, "number": number, "plan": str(plan), "kinds": plan.kinds}
                journal.write(events, head, prober.spans())
                result.violations += replay.refusals(events)
                results.append(_show(result, fleet, top))
                number += 1
                if result.violations:
                    break
            else:
                wrong = fleet.stop()
                if wrong:
                    results[-1].violations += wrong
                    rounds.keep(fleet, top / f"round-{results[-1].number}")
    return results


def _show(result: Result, fleet: Fleet, top: Path) -> Result:
    if result.violations:
        rounds.keep(fleet, top / f"round-{result.number}")
    (top / f"round-{result.number}.json").write_text(result.as_json())
    times = map(shown, (result.gap, result.writes, result.full))
    bad = len(result.violations) or "-"
    print(
        LINE.format(
            result.number,
            result.generations,
            result.full_transfers,
            result.acknowledged,
            *times,
            bad,
            result.plan or "",
        )
    )
    for text in result.violations:
        print(f"      {text[:400]}")
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is removed then as well
    sys.exit(main())
