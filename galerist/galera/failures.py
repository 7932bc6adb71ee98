"""Why a server ended: what its log says, in a sentence with a remedy. Pure.

Each pattern was seen in the log of MariaDB 10.11 with galera-4 26.4 when the fault was made on purpose
(tests/unit/test_failures.py has the lines). The order counts: a cause stands before what follows from it.
"""

from __future__ import annotations

import re
import signal

_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        r"No space left on device|exceeds available storage space|Disk is full|[Ee]rr(?:no|code): 28\b",
        "the disk is full",
        "free space on the volume of 'datadir'",
    ),
    (
        r"unknown (?:variable|option) '|Error while setting value '.*' to '",
        "the option file holds an option that this server does not take",
        "correct 'mariadb_conf_dir' or the [mariadb] table of the settings file",
    ),
    (
        r"Permission denied|[Ee]rr(?:no|code): 13\b",
        "the server may not read or write its files",
        "give 'datadir' and all that is in it to the user named by the setting 'server_user'",
    ),
    (
        r"wsrep_load\(\): dlopen\(\)",
        "the Galera provider could not be loaded",
        "install galera-4, or correct the setting 'wsrep_provider'",
    ),
    (
        r"Bind on TCP/IP port.*Address already in use",
        "the port for SQL is in use by another program",
        "end that program, or change the setting 'sql_port'",
    ),
    (
        r"failed to open gcomm backend connection: 98",
        "the port for group communication is in use by another program",
        "end that program, or change the setting 'gcomm_port'",
    ),
    (
        r"Failed to open IST listener.*Address already in use",
        "the port for incremental state transfers is in use by another program",
        "end that program, or change the setting 'ist_port'",
    ),
    (
        r"socat\[\d+\] E bind\(.*Address already in use|daemon port '\d+' has been taken",
        "the port for state transfers is in use by another program",
        "end that program, or change the setting 'sst_port'",
    ),
    (
        r"rsync or stunnel daemon .*terminated unexpectedly",
        "the receiver of the state transfer could not run, most likely since its port is in use by another program",
        "end that program, or change the setting 'sst_port'",
    ),
    (
        r"'[^']+' not found in path|binary not found in path",
        "a program that the state transfer needs is missing",
        "install what the sentence names (rsync, socat or mariadb-backup)",
    ),
    (
        r"failed mariadb-backup/SST on donor",
        "the donor{donor} could not make its backup, most likely for wrong SST credentials",
        "make 'sst_user' and 'sst_password' the same on all nodes, and the same as the account in the database; "
        "the donor's error log says more",
    ),
    (
        r"State transfer to \S+ \(\S+\) failed",
        "the donor{donor} could not send its state",
        "look into the donor's error log as well",
    ),
    (
        r"failed to open gcomm backend connection: 131: No address to connect",
        "no name of a member could be resolved",
        "correct the members' setting 'host', or the resolver of this machine",
    ),
    (
        r"Failed to establish connection: certificate verify failed",
        "the members' certificates are of another authority than this node trusts, or have ended",
        "correct 'tls_ca' and 'tls_cert' here, or on the members",
    ),
    (
        r"failed to reach primary view",
        "no Primary Component was reached at the members' addresses",
        "check that the members' gcomm ports can be reached from here",
    ),
    (
        r"Failed to prepare for '\w+' SST|SST request callback failed|Failed to read '?uuid:seqno",
        "the state transfer failed",
        "look into the server's error log, and into the donor's",
    ),
)

_DONOR = re.compile(r"WSREP: \d+\.\d+ \(([^)]+)\): State transfer to \S+ \(\S+\) failed")

TRANSFER_DIED = re.compile(r"^WSREP_SST: \[ERROR\] Cleanup after exit with status", re.MULTILINE)
"""A script of a state transfer has ended with an error, the donor's or the joiner's."""


def reason(log: str) -> tuple[str, str] | None:
    """What went wrong and its remedy, by the patterns that are known; None when none is found."""
    for pattern, words, remedy in _KNOWN:
        found = re.search(pattern, log)
        if found:
            donor = _DONOR.search(log)
            start = log.rfind("\n", 0, found.start()) + 1
            line = _short(log[start:].split("\n", 1)[0])
            return f"{words.format(donor=f' {donor[1]}' if donor else '')} ({line})", remedy
    return None


def explain(log: str, exit_code: int | None) -> tuple[str, str]:
    """The sentence and the remedy for a server that ended by itself, from the end of its error log.

    Without a known pattern the first line marked [ERROR] is quoted. A server that was killed
    has not ended for anything that its log says.
    """
    if exit_code == -signal.SIGKILL:
        return (
            "The server was killed (SIGKILL), by hand or by the kernel for want of memory.",
            "nothing: it is started again; look into the kernel's log if nobody killed it",
        )
    known = reason(log)
    if known is not None:
        return f"The server ended: {known[0]}.", known[1]
    errors = [line for line in log.splitlines() if "[ERROR]" in line]
    how = "was killed by a signal" if exit_code is not None and exit_code < 0 else "ended"
    if errors:
        return f"The server {how}: {_short(errors[0])}.", "look into the server's error log"
    return f"The server {how} without a word of why.", "nothing: it is started again"


def _short(line: str) -> str:
    text = re.split(r"\[(?:ERROR|Warning)\]", line, maxsplit=1)[-1].replace("WSREP: ", "").strip()
    return text.rstrip(".")[:200]
