"""Makes docs/settings.md: ``python -m galerist.settings.document > docs/settings.md``."""

from __future__ import annotations

from galerist.settings.schema import FIELDS, Field
from galerist.settings.userconf import DEFERRED, FIXED, OWNED, OWNED_PROVIDER

_HEAD = """\
# Settings

<!-- made by `python -m galerist.settings.document`; a test compares them -->

All parts of galerist share one set of settings. The key `sql_port` is

- the flag `--sql-port` of the sub-commands that take it,
- the environment variable `GALERIST_SQL_PORT`,
- `sql_port = 3306` in a TOML file, named by `--config` or `GALERIST_CONFIG`.

A flag goes over the environment, the environment over the file, the file over the default. An empty variable counts
as not given. Lists are arrays in the file and comma-separated texts elsewhere. A relative path starts from the folder
of the file it is written in, on the command line and in the environment from the working directory. Times are
seconds.

All mistakes are reported at once, each with its key, value, origin and remedy, and the exit code is 78. An unknown
key in the file, or an unknown variable that begins with `GALERIST_`, is a mistake too (except what Kubernetes and
Docker add for a service of that name).

One file can serve all machines of a cluster: each sub-command reads only the secrets and files that it needs.

## Secrets

A secret is given by the name of a file that holds it on its first line: `root_password_file`, as a flag, variable or
key. The variable `GALERIST_ROOT_PASSWORD` and the key `root_password` with the secret itself work too; the file is
better, since other programs of the same user can read an environment. A flag with the secret itself does not exist.
Secrets are never logged.

## Keys

In the last column `list` stands for all commands that find a cluster by its registry.

"""

_MARIADB = """
## Options of MariaDB

Your own options for the server come from the `*.cnf` files in `mariadb_conf_dir`, in the order of their names, and
then from the `[mariadb]` table of the settings file:

```toml
[mariadb]
innodb_buffer_pool_size = "4G"
max_connections = 500
skip_name_resolve = true
plugin_load_add = ["auth_ed25519", "ha_spider"]

[mariadb.wsrep_provider_options]
"gcache.size" = "2G"
```

Of the `*.cnf` files the sections `[mysqld]`, `[mariadb]`, `[mariadbd]`, `[server]` and `[galera]` are read. Dashes
and underscores in names are equal, and the prefixes `loose-`, `skip-`, `disable-` and `enable-` work as they do in
MariaDB; abbreviations of the options below do not. Later values replace earlier ones, except for options that MariaDB
itself collects.

The server starts closed, whatever you set; {deferred} take effect when the node opens.

`innodb_flush_log_at_trx_commit` is 1. Other values are allowed, with a warning: they lose acknowledged commits when
nodes crash in quick succession.

These belong to galerist and are refused by name:

| option | what to do |
|---|---|
"""


def document() -> str:
    """The text of docs/settings.md."""
    text = _HEAD + "| key | kind | default | meaning | taken by |\n|---|---|---|---|---|\n"
    text += "".join(_row(field) for field in FIELDS)
    text += _MARIADB.format(deferred=" and ".join(f"`{name}`" for name in DEFERRED))
    for name, remedy in OWNED.items():
        text += f"| `{'skip_slave_start' if name == 'slave_start' else name}` | {remedy} |\n"
    for name, value in FIXED.items():
        text += f"| `{name}` | must be {value} |\n"
    for name, remedy in OWNED_PROVIDER.items():
        text += f"| `{name}` in `wsrep_provider_options` | {remedy} |\n"
    return text


def _row(field: Field) -> str:
    default = f"`{field.default_text}`" if field.default_text else ""
    kind = field.type_text.replace("|", ", ")
    key = f"`{field.key}`" if field.secret else f"`{field.name}`"
    return f"| {key} | {kind} | {default} | {field.help} | {', '.join(field.parts)} |\n"


if __name__ == "__main__":
    print(document(), end="")
