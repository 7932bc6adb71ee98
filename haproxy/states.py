"""The state of servers, carried over a start or a reload by HAProxy's own state file."""

from __future__ import annotations

from collections.abc import Mapping

from haproxy.members import Layout, Line, plain_address

# Fields of version 1, in their order: management guide, "show servers state".
_FIELDS = (
    *("be_id", "be_name", "srv_id", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state"),
    *("srv_uweight", "srv_iweight", "srv_time_since_last_change", "srv_check_status", "srv_check_result"),
    *("srv_check_health", "srv_check_state", "srv_agent_state", "bk_f_forced_id", "srv_f_forced_id"),
    *("srv_fqdn", "srv_port", "srvrecord", "srv_use_ssl", "srv_check_port", "srv_check_addr"),
    *("srv_agent_addr", "srv_agent_port"),
)
_KEPT = ("srv_op_state", "srv_check_status", "srv_check_result", "srv_check_health", "srv_time_since_last_change")
_BY_HAND = 0x01 | 0x08  # SRV_ADMF_FMAINT, SRV_ADMF_FDRAIN: set by a person over the socket
_INITIAL = "1"  # HCHK_STATUS_INI; with 0 the worker would never heed a check


def state_file(wanted: Layout, running: Mapping[tuple[str, str], Mapping[str, str]]) -> str:
    """What HAProxy shall believe of the servers until it has checked them itself.

    Left to itself it takes each new server for UP, and would send clients to nodes that no
    check has passed yet. Servers that the running worker has at the same address keep what
    it knows of them (``running``, from ``show servers state``); the others begin DOWN, and
    one good check lifts them.
    """
    lines = ["1", "# " + " ".join(_FIELDS)]
    for listener, servers in wanted.servers.items():
        for number, server in enumerate(servers, 1):
            former = running.get((listener, server.name), {})
            fields = dict.fromkeys(_FIELDS, "0") | {
                "be_id": "1",
                "be_name": listener,
                "srv_id": str(server.rank or number),
                "srv_name": server.name,
                "srv_addr": server.address,
                "srv_uweight": str(server.weight),
                "srv_iweight": str(server.weight),
                "srv_check_status": _INITIAL,
                "srv_check_state": "6",  # enabled and configured
                "srv_fqdn": "-",
                "srv_port": str(server.port),
                "srvrecord": "-",
                "srv_check_port": str(server.check_port or 0),
                "srv_check_addr": "-",
                "srv_agent_addr": "-",
            }
            if _same(server, former):
                fields |= {name: former[name] for name in _KEPT if former.get(name, "").isdigit()}
            if former.get("srv_admin_state", "").isdigit() and former.get("srv_uweight") != "0":
                fields["srv_admin_state"] = str(int(former["srv_admin_state"]) & _BY_HAND)
            lines.append(" ".join(fields[name] for name in _FIELDS))
    return "\n".join(lines) + "\n"


def _same(server: Line, row: Mapping[str, str]) -> bool:
    named = row.get("srv_fqdn", "-")
    place = row.get("srv_addr", "") if named == "-" else named
    ports = (row.get("srv_port"), row.get("srv_check_port"))
    same = (plain_address(place) or place) == (plain_address(server.address) or server.address)
    return same and ports == (str(server.port), str(server.check_port or 0))
