"""Looking at a running local cluster: the registry, the supervisor's children, the proxy's ports."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from galerist.deploy.tls import Places
from galerist.local import progress
from galerist.local.layout import Layout
from galerist.local.plan import Plan
from galerist.local.progress import Snapshot
from galerist.local.render import APP, LOOPBACK
from galerist.registry.contract import Registry, RegistryError
from galerist.registry.keys import Keys

STATEMENT_TIMEOUT = 5  # seconds


def children(layout: Layout) -> dict[str, dict[str, object]]:
    """What the supervisor says about its children; empty while it says nothing."""
    try:
        value = json.loads(layout.children.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def open_registry(layout: Layout) -> Registry:
    from galerist.registry.open import open_registry as open_it
    from galerist.settings import load

    return open_it(load({}, {}, layout.settings))


def statement(plan: Plan, layout: Layout) -> str:
    """What is wrong with statements by the application's account through the proxy; "" if nothing.

    Each port must answer, and the port for all nodes must lead to all nodes: HAProxy hears
    of a node that has become usable a little later than the registry does.
    """
    seen: set[str] = set()
    ask = _Asker(plan, layout)
    # Connections are dealt out in turn, if not exactly so while a node has just come in.
    for key in ("write_port", "read_port", *["all_port"] * (3 * len(plan.nodes))):
        try:
            node = ask(key)
        except OSError as error:
            return f"no statement gets through the {key.replace('_', ' ')} yet: {error}"
        if key == "all_port":
            seen.add(node)
        if seen >= set(plan.nodes):
            return ""
    return f"does not lead to {', '.join(sorted(set(plan.nodes) - seen))} yet"


class _Asker:
    """The application's account, at the proxy's ports."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._plan = plan
        self._password = layout.secret(APP).read_text().strip()
        self._ca = str(Places(layout.tls).ca) if plan.tls else None

    def __call__(self, port: str) -> str:
        """The name of the node that answers behind this port, ``write_port`` and so on. Raises OSError."""
        import pymysql

        try:
            connection = pymysql.connect(
                host=LOOPBACK,
                port=self._plan.port(port),
                user=APP,
                password=self._password,
                database=APP,
                connect_timeout=STATEMENT_TIMEOUT,
                read_timeout=STATEMENT_TIMEOUT,
                ssl_ca=self._ca,
                ssl_verify_identity=self._plan.tls,
            )
            with connection, connection.cursor() as cursor:
                # One that touches a table: a node that is closed or not Primary answers others.
                cursor.execute("SELECT @@wsrep_node_name, COUNT(*) FROM information_schema.TABLES")
                row = cursor.fetchone()
        except pymysql.MySQLError as error:
            raise OSError(str(error)) from error
        return str(row[0]) if row else ""


class Look:
    """Takes snapshots of one cluster; keeps its connection to the registry between them."""

    def __init__(self, plan: Plan, layout: Layout, connect: Callable[[Layout], Registry] = open_registry) -> None:
        self._plan = plan
        self._layout = layout
        self._connect = connect
        self._registry: Registry | None = None
        self._served = False

    def now(self) -> Snapshot:
        """The statement through the proxy is tried only when nothing else is waited for."""
        known: dict[str, str] | str
        try:
            if self._registry is None:
                self._registry = self._connect(self._layout)
            known = self._registry.list(Keys(self._plan.cluster).root)
        except RegistryError as error:
            known = str(error)
        parts = children(self._layout)
        before = progress.snapshot(self._plan, known, parts, None)
        if all(row.good or (row.name == "proxy" and row.state == "running") for row in before.rows):
            return progress.snapshot(self._plan, known, parts, self._statement())
        return before

    def _statement(self) -> str:
        """All ports until they have once been good; later the write port alone, to load nobody."""
        if self._served:
            try:
                _Asker(self._plan, self._layout)("write_port")
            except OSError as error:
                return f"no statement gets through the write port: {error}"
            return ""
        result = statement(self._plan, self._layout)
        self._served = not result
        return result

    def close(self) -> None:
        if self._registry is not None:
            self._registry.close()


def wait(
    look: Look, running: Callable[[], bool], show: Callable[[Snapshot], None], timeout: float, pause: float = 0.3
) -> tuple[bool, str]:
    """Wait until everything is good, at most ``timeout`` seconds.

    Returns True, or False and the reason why not.
    """
    deadline = time.monotonic() + timeout
    while True:
        now = look.now()
        show(now)
        if now.good:
            return True, ""
        if not running():
            return False, "the supervisor has ended"
        if now.hopeless:
            return False, now.hopeless
        if time.monotonic() >= deadline:
            waiting = [f"{row.name} is {row.state}: {row.reason}" for row in now.rows if not row.good]
            return False, f"not ready after {timeout:.0f} s; " + "; ".join(waiting)
        time.sleep(pause)
