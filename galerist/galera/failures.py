"""Why a server ended: what its log says, in a sentence with a remedy. Pure.

Each pattern was seen in the log of MariaDB 10.11 with galera-4 26.4 when the fault was made on purpose.
"""

from __future__ import annotations

import re

_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        r"wsrep_load\(\).*dlopen\(\)|WSREP: wsrep_load.*failed|Failed to load provider|cannot open shared object file",
        "the Galera provider could not be loaded",
        "install galera-4, or correct the setting 'wsrep_provider'",
    ),
    (
        r"Bind on TCP/IP port.*Address already in use|Do you already have another server running on port:? ?(\d+)?",
        "the SQL port is in use by another program",
        "end that program, or change the setting 'sql_port'",
    ),
    (
        r"(?:gcomm|asio|Failed to (?:bind|listen|establish)).*(?:Address already in use|error: 98)",
        "the port for group communication or state transfer is in use by another program",
        "end that program, or change the settings 'gcomm_port', 'ist_port' or 'sst_port'",
    ),
    (
        r"(?:mariadb-backup|mariabackup|innobackupex).*(?:Access denied|Failed to connect)"
        r"|Failed to connect to MariaDB server: Access denied",
        "the donor refused the account of the state transfer (wrong SST credentials)",
        "make 'sst_user' and 'sst_password' the same on all nodes, and the same as the account in the database",
    ),
    (
        r"group name mismatch|wsrep_cluster_name.*mismatch|Failed to open channel .* handshake with remote .* group",
        "the members run under another wsrep_cluster_name",
        "nothing: the node reads the name again from the registry; if it lasts, compare the setting 'registry' of the nodes",
    ),
    (
        r"Local state UUID.*is different from group state UUID|different from the group state|does not match the group state",
        "the datadir belongs to another cluster",
        "galerist reinit NODE (allows its datadir to be overwritten)",
    ),
    (
        r"No space left on device|Disk is full|errno: 28|Errcode: 28",
        "the disk is full",
        "free space on the volume of 'datadir'",
    ),
    (
        r"unknown (?:variable|option) '([^']+)'",
        "the option file holds an option that this server does not know",
        "correct 'mariadb_conf_dir' or the [mariadb] table of the settings file",
    ),
    (
        r"(?:Can't create/write|can't open|cannot open|Can't change dir|Can't read dir).*(?:Permission denied|Errcode: 13)",
        "the server may not read or write its files",
        "give 'datadir' to the user named by the setting 'server_user'",
    ),
    (
        r"Requesting state transfer failed.*|State transfer request failed unrecoverably|State transfer.*failed.*unrecoverable",
        "the state transfer failed",
        "look into the error log of the donor as well",
    ),
    (
        r"failed to reach primary view|failed to open gcomm backend connection: 110|Connection timed out",
        "no Primary Component was reached at the members' addresses",
        "check that the members' gcomm ports can be reached from here",
    ),
    (
        r"WSREP_SST.*(?:command not found|not found in path|utility not found)|socat.*not found|rsync.*not found",
        "a program that the state transfer needs is missing",
        "install what the error log names (socat, rsync or mariadb-backup)",
    ),
)


def explain(log: str, exit_code: int | None) -> tuple[str, str]:
    """The sentence and the remedy for a server that ended by itself, from the end of its error log.

    Without a known pattern the first line marked [ERROR] is quoted.
    """
    for pattern, sentence, remedy in _KNOWN:
        found = re.search(pattern, log, re.IGNORECASE)
        if found:
            line = next((line for line in log.splitlines() if found.group(0).splitlines()[0] in line), found.group(0))
            return f"The server ended: {sentence} ({_short(line)}).", remedy
    errors = [line for line in log.splitlines() if "[ERROR]" in line]
    how = "was killed by a signal" if exit_code is not None and exit_code < 0 else "ended"
    if errors:
        return f"The server {how}: {_short(errors[0])}.", "look into the server's error log"
    return f"The server {how} without a word of why.", "nothing: it is started again"


def _short(line: str) -> str:
    return line.split("[ERROR]", 1)[-1].replace("WSREP: ", "").strip().rstrip(".")[:200]
