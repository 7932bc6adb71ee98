"""What happened in a round, as JSON lines that the model can replay (``python -m tests.simulation.replay``).

The order of the lines of one node is that of its own log; between nodes there is none but what the values say: nonces,
swapped texts, seqnos. Kinds of lines: ``round``, ``decided`` and ``swapped`` (what each agent saw, did and was answered),
``leaving`` (an agent was told to stop), ``view`` (of a server's own log), ``span`` (what a node said of itself, from
when to when).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

from galerist.galera.stamp import parse_views
from tests.faults.fleet import Fleet
from tests.faults.probe import Span
from tests.simulation.replay import Line, understood

PERIOD = 0.2  # s between two looks at the logs of views, which vanish with their disk


class Journal:
    """Collects from its beginning on. The logs of views are read all the time, everything else at the end of a round."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._views: dict[str, dict[str, None]] = {node: {} for node in fleet.nodes}  # lines, in their order
        self._told: dict[str, int] = dict.fromkeys(fleet.nodes, 0)  # views
        self._read: dict[str, int] = dict.fromkeys(fleet.nodes, 0)  # bytes of the agents' logs
        self._lock, self._end = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Journal:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._end.wait(PERIOD):
            self._look()

    def _look(self) -> None:
        with self._lock:
            for node, known in self._views.items():
                try:
                    text = (self._fleet.home(node) / "stamp" / "views").read_text(errors="replace")
                except OSError:
                    continue
                whole = text[: text.rfind("\n") + 1]
                known.update(dict.fromkeys(whole.splitlines()))

    def write(self, file: Path, head: Line, spans: list[Span]) -> None:
        """All that is new since the last round."""
        self._look()
        with file.open("w") as out:
            for line in ({"what": "round", **head}, *self._lines(spans)):
                out.write(json.dumps(line) + "\n")

    def _lines(self, spans: list[Span]) -> Iterator[Line]:
        for node in self._fleet.nodes:
            yield from self._agent(node)
            seen = parse_views(self._views[node])
            for one in seen[self._told[node] :]:
                view = {"generation": one.view.generation, "seqno": one.view.seqno}
                members = {"members": one.view.members, "arbitrators": one.view.arbitrators}
                yield {"what": "view", "node": node, "run": one.run, "primary": one.primary, **view, **members}
            self._told[node] = max(0, len(seen) - 1)  # the next round begins in the last view of this one
        for span in spans:
            answer = {"serves": span.answer.serves, "uuid": span.answer.uuid, "members": span.answer.members}
            yield {"what": "span", "node": span.node, "begin": span.begin, "end": span.end, **answer}

    def _agent(self, node: str) -> Iterator[Line]:
        with (self._fleet.top / f"{node}.log").open("rb") as file:
            file.seek(self._read[node])
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._read[node] += len(text)
        for line in text.decode(errors="replace").splitlines():
            try:
                message = json.loads(line)["message"]
            except (ValueError, KeyError, TypeError):
                continue
            if (told := understood(message)) is not None:
                yield {**told, "node": node}
