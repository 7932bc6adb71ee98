"""``galerist adopt``: a running server that galerist did not start gets what an agent needs to look after it.

Nothing is restarted, and no setting of the server that matters to clients is touched. The first node that is adopted
records the cluster: its uuid, one generation under the name that its members run with, and the view they are in. Each
node gets a stamp that says the same. Whatever does not fit is refused before anything is written.
"""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import replace

from bootstrap import accounts
from bootstrap.run import places, wanted
from bootstrap.running import writers
from galerist.galera import datadir as disk
from galerist.galera.server import Launcher
from galerist.galera.sql import Live, Sql
from galerist.galera.stamp import ADOPTED, StampInUse, StampStore
from galerist.model import Generation, Identity, Malformed, NodeRecord, State, View, dump, load
from galerist.registry import events
from galerist.registry.contract import Registry, RegistryError, Swap
from galerist.registry.keys import Keys
from galerist.registry.open import open_registry
from galerist.settings import Settings

FAILED = 1


class Refused(Exception):
    """This server cannot be adopted. The text says why, and what to do."""


def main(settings: Settings) -> int:
    """Adopt the server of this node. Returns the exit code."""
    try:
        registry = open_registry(settings)
        try:
            print(_adopt(settings, registry))
        finally:
            registry.close()
    except (Refused, StampInUse, RegistryError, Malformed) as error:
        print(f"galerist: {settings.node} is not adopted: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"galerist: {settings.node} is not adopted: {where}", file=sys.stderr)
        return FAILED
    return 0


def _adopt(settings: Settings, registry: Registry) -> str:
    sql = Sql(settings.socket, "root" if os.geteuid() == 0 else settings.server_user)
    pid = disk.opened_by(settings.datadir)
    if pid is None:
        raise Refused(
            f"no server runs on {settings.datadir}; correct the setting 'datadir', or start `galerist bootstrap`"
        )
    try:
        live, variables = sql.live(), {str(name): str(value) for name, value in sql.query("SHOW GLOBAL VARIABLES")}
        view = sql.view()
    except OSError as error:
        raise Refused(
            f"its server (pid {pid}) cannot be asked by {settings.socket}: {error}; correct the setting 'socket', "
            "and see that the system's root, or the server's own user, may come in by it (unix_socket)"
        ) from None
    unfit = misfits(settings, live, variables, [name for _, name, address in view[1] if address] if view else [])
    if unfit or view is None:
        raise Refused("; ".join(unfit) or "it reports no view: wait until it is Synced")
    owner = Launcher(places(settings)).owner if os.geteuid() == 0 else None
    stamps = StampStore(settings.stamp_dir, owner)
    stamps.prepare()  # takes the lock: no agent looks after it yet
    try:
        if stamps.load().identity is not None:
            return f"{settings.node} is known already: start its agent, `galerist bootstrap`"
        names = tuple(sorted(name for _, name, address in view[1] if address))
        arbitrators = tuple(sorted(name for _, name, address in view[1] if not address))
        keys = Keys(settings.cluster)
        identity = _record(settings, registry, keys, live.uuid, variables, (view[0], names, arbitrators))
        generation = identity.generations[-1].id
        registry.put(keys.nodes + settings.node, dump(NodeRecord(settings.node, stamps.load().disk, held=True)))
        run = ADOPTED + secrets.token_hex(4)
        stamps.begin_run(run, generation)
        stamps.note(run, live.uuid, *view)
        if settings.sst_method == "mariabackup":
            password = settings.sst_password.reveal() if settings.sst_password is not None else ""
            sql.set_globals((("wsrep_sst_auth", f"{settings.sst_user or settings.server_user}:{password}"),))
        stamps.change(identity=identity, held=True)  # last: from here on it is ours
    finally:
        stamps.release()
        sql.close()
    return f"{settings.node} is adopted (pid {pid}, generation {generation}): start its agent, `galerist bootstrap`"


def misfits(settings: Settings, live: Live, variables: dict[str, str], members: list[str]) -> list[str]:
    """Where server and settings contradict one another: a sentence each, with the remedy."""
    found = []
    if live.cluster_status != "Primary" or live.local_state != 4:
        found.append(
            f"it is {live.cluster_status} and {live.stage or 'no member'}: wait until it is Primary and Synced"
        )
    gcomm = _provider(variables.get("wsrep_provider_options", "")).get("gmcast.listen_addr", "").rpartition(":")[2]
    for key, theirs, ours in (
        ("node", variables.get("wsrep_node_name", ""), settings.node),
        ("datadir", variables.get("datadir", "").rstrip("/"), str(settings.datadir)),
        ("sql_port", variables.get("port", ""), str(settings.sql_port)),
        ("gcomm_port", gcomm, str(settings.gcomm_port)),
        ("error_log", variables.get("log_error", ""), str(settings.error_log)),
    ):
        if theirs != ours:
            found.append(f"its {key} is {theirs or 'not set'}, by the settings {ours}: correct the setting '{key}'")
    expected = sorted(settings.expect) if isinstance(settings.expect, tuple) else settings.expect
    if expected != (sorted(members) if isinstance(expected, list) else len(members)):
        found.append(f"the members are {', '.join(sorted(members)) or 'unknown'}: correct the setting 'expect'")
    if settings.tls_cert is not None and variables.get("have_ssl") != "YES":
        found.append("it runs without TLS: leave out tls_cert until it has been adopted (docs/tls.md)")
    return found


def _provider(text: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in text.split(";"))
    return {key.strip(): value.strip() for key, _, value in pairs if key.strip()}


def _record(
    settings: Settings,
    registry: Registry,
    keys: Keys,
    uuid: str,
    variables: dict[str, str],
    view: tuple[int, tuple[str, ...], tuple[str, ...]],
) -> Identity:
    """The cluster's identity, recorded by the first node that is adopted."""
    seqno, names, arbitrators = view
    for _ in range(5):
        raw = registry.get(keys.state)
        state = load(State, raw) if raw is not None else State()
        if state.identity is not None:
            if (
                state.identity.uuid != uuid
                or state.identity.generations[-1].cluster_name != variables["wsrep_cluster_name"]
            ):
                raise Refused(
                    f"the registry knows another cluster as {settings.cluster} ({state.identity.uuid}); correct the "
                    "setting 'cluster' or 'registry'"
                )
            return state.identity
        _furnish(settings)
        generation = Generation(secrets.token_hex(4), seqno, settings.node, variables["wsrep_cluster_name"])
        made = State(
            Identity(uuid, (generation,)), View(generation.id, seqno, names, arbitrators), writer=writers((), names)
        )
        if registry.swap(keys.state, raw, dump(made)) is Swap.WON:
            events.write(
                registry,
                keys,
                settings.node,
                "adopt",
                f"Adopted {', '.join(names)}, which run as {variables['wsrep_cluster_name']}.",
            )
            assert made.identity is not None
            return made.identity
    raise Refused("the registry does not take the record; try again")


def _furnish(settings: Settings) -> None:
    """Make galerist's own accounts, on all nodes: unlike those of a new cluster they are replicated."""
    import pymysql

    own = replace(wanted(settings), root_password=None, app_user="", app_database="")  # those are the owner's
    try:
        connection = pymysql.connect(
            unix_socket=str(settings.socket),
            user="root" if os.geteuid() == 0 else settings.server_user,
            ssl_disabled=True,
            autocommit=True,
            read_timeout=30,
        )
        with connection, connection.cursor() as cursor:
            for statement, arguments in accounts.statements(own):
                cursor.execute(statement, arguments or None)
    except pymysql.MySQLError as error:
        raise Refused(f"its accounts cannot be made: {error}") from None
