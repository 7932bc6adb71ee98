"""Asks the clusterchecks of the other members, only while this node's own commit probe is late."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Mapping, Sequence

from clustercheck.probing import PeerSays
from clustercheck.verdict import OK, Peer, Status

TIMEOUT = 1.0
"""Seconds for one peer."""


def ask_peers(status: Status, headers: Mapping[str, str]) -> Sequence[PeerSays]:
    """What the peers that the agent named answer; those that do not answer are not usable."""
    if status.agent is None or status.agent.peers is None:
        return ()
    return tuple(_ask(peer, headers) for peer in status.agent.peers)


def _ask(peer: Peer, headers: Mapping[str, str]) -> PeerSays:
    connection = http.client.HTTPConnection(peer.host, peer.check_port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/status", headers=dict(headers))
        said = json.loads(connection.getresponse().read(65536))
        ago = said["probe"]["began_ago"]
        return PeerSays(peer.node, said["code"] == OK, float(ago) if ago is not None else None)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return PeerSays(peer.node, False, None)
    finally:
        with contextlib.suppress(OSError):
            connection.close()
