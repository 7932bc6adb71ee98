"""What logs say when a server ended; the lines are from real logs, of faults made on purpose."""

from __future__ import annotations

import pytest

from galerist.galera.failures import TRANSFER_DIED, explain, reason

SQL_PORT = """\
2026-11-21  3:28:15 0 [Warning] WSREP: Could not open state file for reading: '/srv/n1/data//grastate.dat'
2026-11-21  3:28:15 0 [ERROR] Can't start server: Bind on TCP/IP port. Got error: 98: Address already in use
2026-11-21  3:28:15 0 [ERROR] Do you already have another server running on port: 13311 ?
2026-11-21  3:28:15 0 [ERROR] Aborting
2026-11-21  3:28:15 2 [ERROR] WSREP: Exception: State wait was interrupted
2026-11-21  3:28:15 2 [ERROR] WSREP: View callback failed. This is unrecoverable, restart required. (FATAL)
"""
GCOMM_PORT = """\
2026-11-21  3:28:28 0 [ERROR] WSREP: failed to open gcomm backend connection: 98: Failed to listen: bind: Address already in use: System error: 98 (Address already in use)
2026-11-21  3:28:28 0 [ERROR] WSREP: ./gcs/src/gcs_core.cpp:gcs_core_open():256: Failed to open backend connection: -98 (Address already in use)
2026-11-21  3:28:28 0 [ERROR] WSREP: ./gcs/src/gcs.cpp:gcs_open():1701: Failed to open channel 'galera-5ea576d7' at 'gcomm://': -98 (Address already in use)
2026-11-21  3:28:28 0 [ERROR] WSREP: gcs connect failed: Address already in use
2026-11-21  3:28:28 0 [ERROR] WSREP: wsrep::connect(gcomm://) failed: 7
"""
IST_PORT = """\
2026-11-21  3:28:43 2 [Warning] WSREP: Failed to prepare for incremental state transfer: Failed to open IST listener at tcp://127.0.0.1:14672', asio error 'Failed to listen: bind: Address already in use: System error: 98 (Address already in use)
2026-11-21  3:28:43 0 [Warning] WSREP: 0.0 (n1): State transfer to 1.0 (n2) failed: No message of desired type
2026-11-21  3:28:43 0 [ERROR] WSREP: ./gcs/src/gcs_group.cpp:gcs_group_handle_join_msg():1225: Will never receive state. Need to abort.
"""
SST_PORT_RSYNC = """\
WSREP_SST: [ERROR] the rsync or stunnel daemon (PID: 21054) terminated unexpectedly. (20261121 03:29:05.456)
WSREP_SST: [ERROR] Cleanup after exit with status: 16 (20261121 03:29:05.458)
2026-11-21  3:29:05 0 [ERROR] WSREP: Failed to read 'ready <addr>' (got '(null)') from: wsrep_sst_rsync --role 'joiner'
2026-11-21  3:29:05 2 [ERROR] WSREP: Failed to prepare for 'rsync' SST. Unrecoverable.
2026-11-21  3:29:05 2 [ERROR] WSREP: SST request callback failed. This is unrecoverable, restart required.
"""
SST_PORT_MARIABACKUP = """\
WSREP_SST: [INFO] Evaluating timeout -k 310 300 socat -u TCP-LISTEN:14442,reuseaddr,bind=127.0.0.1 stdio
2026/11/21 03:33:19 socat[12538] E bind(6, {AF=2 127.0.0.1:14442}, 16): Address already in use
WSREP_SST: [ERROR] Error while getting data from donor node: exit codes: 1 0 (20261121 03:33:19.699)
WSREP_SST: [ERROR] Cleanup after exit with status: 32 (20261121 03:33:19.705)
2026-11-21  3:33:52 0 [ERROR] WSREP: Failed to read uuid:seqno and wsrep_gtid_domain_id from joiner script.
"""
SST_CREDENTIALS = """\
2026-11-21  3:29:52 0 [Warning] WSREP: Could not open state file for reading: '/srv/n2/data//grastate.dat'
WSREP_SST: [ERROR] xtrabackup_checkpoints missing, failed mariadb-backup/SST on donor (20261121 03:30:05.423)
WSREP_SST: [ERROR] Cleanup after exit with status: 2 (20261121 03:30:05.443)
2026-11-21  3:30:05 0 [Warning] WSREP: 0.0 (n1): State transfer to 1.0 (n2) failed: Invalid argument
2026-11-21  3:30:05 0 [ERROR] WSREP: ./gcs/src/gcs_group.cpp:gcs_group_handle_join_msg():1225: Will never receive state. Need to abort.
"""
PROVIDER = """\
2026-11-21  3:30:26 0 [ERROR] WSREP: wsrep_load(): dlopen(): /srv/fake.so: file too short
2026-11-21  3:30:26 0 [ERROR] WSREP: Failed to create a new provider '/srv/fake.so' with options 'gcache.recover=yes': Fail
2026-11-21  3:30:26 0 [ERROR] WSREP: Failed to load provider
2026-11-21  3:30:26 0 [ERROR] Aborting
"""
OPTION = """\
2026-11-21  3:30:37 0 [ERROR] /usr/sbin/mariadbd: unknown variable 'innodb_bufer_pool_size=1G'
2026-11-21  3:30:37 0 [ERROR] Aborting
"""
VALUE = """\
2026-11-21  3:30:50 0 [ERROR] /usr/sbin/mariadbd: Error while setting value 'nonsense' to 'innodb-flush-method'
2026-11-21  3:30:50 0 [ERROR] Parsing options for plugin 'InnoDB' failed. Disabling plugin
2026-11-21  3:30:50 0 [ERROR] Unknown/unsupported storage engine: InnoDB
"""
RIGHTS = """\
2026-11-21  3:31:06 0 [ERROR] WSREP: Failed to open file '/srv/n1/data//galera.cache': System error: 13 (Permission denied)
2026-11-21  3:31:06 0 [ERROR] WSREP: Failed to create a new provider '/usr/lib/galera/libgalera_smm.so' with options 'gcache.recover=yes': Faile
2026-11-21  3:31:06 0 [ERROR] WSREP: Failed to load provider
"""
DISK = """\
2026-11-21  3:31:19 0 [ERROR] WSREP: Requested size 134219032 for '/srv/n1/data//galera.cache' exceeds available storage space 27271168
2026-11-21  3:31:19 0 [ERROR] WSREP: Failed to create a new provider '/usr/lib/galera/libgalera_smm.so' with options 'gcache.recover=yes': Faile
2026-11-21  3:31:19 0 [ERROR] WSREP: Failed to load provider
"""
UNREACHABLE = """\
2026-11-21  3:36:23 0 [Note] WSREP: gcomm: connecting to group 'galera-32aaa129', peer '127.0.0.1:1'
2026-11-21  3:36:56 0 [ERROR] WSREP: failed to open gcomm backend connection: 110: failed to reach primary view
2026-11-21  3:36:56 0 [ERROR] WSREP: ./gcs/src/gcs_core.cpp:gcs_core_open():256: Failed to open backend connection: -110 (Connection timed out)
"""
AUTHORITY = """\
2026-11-21  9:07:51 0 [Note] WSREP: Failed to establish connection: certificate verify failed: self-signed certificate in certificate chain
2026-11-21  9:07:52 0 [Note] WSREP: view((empty))
2026-11-21  9:07:52 0 [ERROR] WSREP: failed to open gcomm backend connection: 110: failed to reach primary view
"""
UNRESOLVED = """\
2026-11-21  3:36:57 0 [Warning] WSREP: Failed to resolve tcp://nohost.invalid:4567
2026-11-21  3:36:57 0 [ERROR] WSREP: failed to open gcomm backend connection: 131: No address to connect (FATAL)
"""


@pytest.mark.parametrize(
    ("log", "words", "remedy"),
    [
        (SQL_PORT, "the port for SQL is in use", "'sql_port'"),
        (GCOMM_PORT, "the port for group communication is in use", "'gcomm_port'"),
        (IST_PORT, "the port for incremental state transfers is in use", "'ist_port'"),
        (SST_PORT_RSYNC, "its port is in use", "'sst_port'"),
        (SST_PORT_MARIABACKUP, "the port for state transfers is in use", "'sst_port'"),
        (SST_CREDENTIALS, "the donor n1 could not make its backup, most likely for wrong SST", "'sst_password'"),
        (PROVIDER, "the Galera provider could not be loaded (wsrep_load(): dlopen(): /srv/fake.so", "'wsrep_provider'"),
        (OPTION, "unknown variable 'innodb_bufer_pool_size=1G'", "[mariadb]"),
        (VALUE, "Error while setting value 'nonsense' to 'innodb-flush-method'", "[mariadb]"),
        (RIGHTS, "may not read or write its files (Failed to open file '/srv/n1/data//galera.cache'", "'server_user'"),
        (DISK, "the disk is full (Requested size 134219032", "'datadir'"),
        (UNREACHABLE, "no Primary Component was reached", "gcomm ports"),
        (AUTHORITY, "of another authority than this node trusts", "'tls_ca'"),
        (UNRESOLVED, "no name of a member could be resolved", "'host'"),
    ],
)
def test_a_known_cause_has_a_sentence_and_a_remedy(log: str, words: str, remedy: str) -> None:
    for code in (1, -6, None):  # Galera likes to abort
        sentence, what_to_do = explain(log, code)
        assert sentence.startswith("The server ended: ") and words in sentence
        assert remedy in what_to_do
        assert "\n" not in sentence and len(sentence) < 400


def test_an_unknown_cause_is_quoted() -> None:
    log = "2026-11-21  3:36:57 0 [Note] fine\n2026-11-21  3:36:57 0 [ERROR] InnoDB: something new.\n"
    assert reason(log) is None
    assert explain(log, 1) == ("The server ended: InnoDB: something new.", "look into the server's error log")
    assert explain(log, -6)[0] == "The server was killed by a signal: InnoDB: something new."


def test_a_server_that_says_nothing_is_just_started_again() -> None:
    assert explain("", -11) == (
        "The server was killed by a signal without a word of why.",
        "nothing: it is started again",
    )


def test_a_server_that_was_killed_has_not_ended_for_what_its_log_says() -> None:
    assert explain(IST_PORT, -9)[0] == "The server was killed (SIGKILL), by hand or by the kernel for want of memory."


@pytest.mark.parametrize(
    ("log", "died"), [(SST_PORT_RSYNC, True), (SST_CREDENTIALS, True), (IST_PORT, False), ("", False)]
)
def test_a_dead_transfer_is_recognised(log: str, died: bool) -> None:
    assert (TRANSFER_DIED.search(log) is not None) == died
