"""Many short sessions, and many that stay, while the members change at random."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field

from galerist import model as records
from tests.haproxy.crowd import Crowd, LightNode, Loop, raise_limit
from tests.haproxy.fakes import Client, Node, served_by, until
from tests.haproxy.proxies import IDENTITY, Proxy

PATIENT = ["--proxy-stop-after", "3", "--proxy-cut-after", "60"]
"""No check times out because the machine is busy: what is shown is what changes of members do."""

SETTLED = 5.0
"""Seconds after which a new node is surely up."""


LATE = 3.0
"""Seconds after a removal in which a busy machine may still cut a session that has just begun."""


@dataclass
class Result:
    sessions: int = 0
    changes: int = 0
    failures: list[tuple[float, str, str]] = field(default_factory=list)  # when, port, the node if it was known
    removals: dict[str, float] = field(default_factory=dict)  # when each removed node was
    held: int = 0  # sessions that were open all the time
    cut: list[str] = field(default_factory=list)  # of them: the nodes of those that ended

    def wrongly_cut(self) -> list[str]:
        """The nodes of sessions that ended though their node stayed."""
        return [node for node in self.cut if node not in self.removals]

    def unexplained(self) -> list[tuple[float, str, str]]:
        """Failures on nodes that stayed, or that come long after a removal, when nothing was said by any node."""
        times = self.removals.values()
        return [
            failure
            for failure in self.failures
            if failure[2] not in self.removals and (failure[2] or not any(0 <= failure[0] - at < LATE for at in times))
        ]


class Clients:
    """Threads that open sessions one after another on all ports, speak and close."""

    def __init__(self, proxy: Proxy, threads: int) -> None:
        self.result = Result()
        self._ports = {"write": proxy.write, "read": proxy.read, "all": proxy.all}
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        choose = random.Random(seed)
        while not self._end.is_set():
            name = choose.choice(list(self._ports))
            node, good = "", False
            with contextlib.suppress(OSError), contextlib.closing(Client(self._ports[name])) as client:
                node = client.served_by
                good = node != "" and client.alive()
            with self._lock:
                self.result.sessions += 1
                if not good:
                    self.result.failures.append((time.monotonic(), name, node))


def churn(proxy: Proxy, changes: int, threads: int, sessions: int = 0, seed: int = 1, held: int = 0) -> Result:
    """``changes`` random ones: another order, a node more, a node less, a drain. At least ``sessions`` short
    sessions on all ports, and ``held`` that stay open on the ports for reads and for all."""
    raise_limit()
    proxy.command += PATIENT
    choose = random.Random(seed)
    loop = proxy.stack.enter_context(closing(Loop()))

    def node(name: str) -> LightNode:
        return proxy.stack.enter_context(closing(LightNode(name, loop)))

    nodes: dict[str, Node] = {name: node(name) for name in ("n0", "n1", "n2")}
    drained: set[str] = set()
    since = dict.fromkeys(nodes, 0.0)  # when each came
    fresh = (f"n{number}" for number in range(3, 10_000))

    def record() -> None:
        names = tuple(choose.sample(sorted(nodes), len(nodes)))
        for name in names:
            proxy.registry.put(proxy.keys.nodes + name, records.dump(records.NodeRecord(name, "d", True)))
        view = records.View("g", 1, tuple(sorted(names)))
        state = records.State(IDENTITY, view, None, names, drained=tuple(sorted(drained)))
        proxy.registry.put(proxy.keys.state, records.dump(state))

    proxy.report(*nodes.values())
    record()
    proxy.start()
    until(lambda: {served_by(proxy.all) for _ in range(9)} == set(nodes) and served_by(proxy.write), "all are up")
    crowd = proxy.stack.enter_context(closing(Crowd(loop, (proxy.read, proxy.all), held)))
    assert len(crowd.open()) == held, "all of them are open at once"
    with Clients(proxy, threads) as clients:
        result = clients.result
        result.held = held
        while result.changes < changes or result.sessions < sessions:
            serving = set(nodes) - drained
            tried = {name for name in serving if time.monotonic() - since[name] > SETTLED}
            what = choose.choice(("order", "order", "more", "less", "drain"))
            if what == "more" and len(nodes) < 6:
                name = next(fresh)
                nodes[name], since[name] = node(name), time.monotonic()
                proxy.report(nodes[name])
            elif what == "less" and len(serving) > 3 and len(tried) > 2:  # two that are up stay
                name = choose.choice(sorted(serving))
                del nodes[name]
                result.removals[name] = time.monotonic()
                proxy.registry.delete(proxy.keys.members + name)
                proxy.registry.delete(proxy.keys.nodes + name)
            elif what == "drain":
                some = not drained & set(nodes) and len(serving) > 2 and len(tried) > 2
                drained = {choose.choice(sorted(nodes))} if some else set()
            record()
            result.changes += 1
            time.sleep(choose.uniform(0.02, 0.2))
            if result.changes % 20 == 0:
                crowd.speak()
    crowd.speak()
    until(lambda: all(session.echoed for session in crowd.open()), "each session that is left still echoes")
    result.cut = [session.node for session in crowd.lost()]
    return result
