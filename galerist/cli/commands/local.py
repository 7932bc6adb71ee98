"""What is done on this machine: a whole cluster for a try, units, words for the shell, versions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from galerist.cli.making import CLUSTER, DIR, EX_FAILED, command, galerist


@command(
    "up",
    "Run a whole cluster on this machine. It has an etcd, nodes with health endpoints, HAProxy with its watcher, and the web page.",
    [
        click.Option(["--nodes"], type=click.IntRange(1, 9), metavar="N", help="How many nodes. [3]"),
        DIR,
        CLUSTER,
        click.Option(
            ["--init-sql"],
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Dump (.sql, .sql.gz, .sql.zst) to load once; may be repeated.",
        ),
        click.Option(["--detach"], is_flag=True, help="Come back when the cluster serves, and leave it running."),
        click.Option(
            ["--sst-method"],
            type=click.Choice(["mariabackup", "rsync"]),
            help="Method of full state transfers. [rsync]",
        ),
        click.Option(
            ["--tls/--no-tls"],
            default=None,
            help="TLS for clients (they must use it), replication, state transfers and etcd. [no]",
        ),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="With --detach: give up waiting after this long; the cluster goes on trying. [300]",
        ),
    ],
)
def _up(
    nodes: int | None,
    dir: Path | None,
    cluster: str | None,
    init_sql: tuple[Path, ...],
    detach: bool,
    sst_method: str | None,
    timeout: float | None,
    tls: bool | None,
) -> int:
    from galerist.local.up import up

    limit = {} if timeout is None else {"timeout": timeout}
    return up(
        nodes=nodes, dir=dir, cluster=cluster, init_sql=init_sql, detach=detach, sst_method=sst_method, tls=tls, **limit
    )


@command(
    "down",
    "End a cluster that `galerist up` runs. Nodes leave cleanly.",
    [
        DIR,
        CLUSTER,
        click.Option(["--wipe"], is_flag=True, help="Remove its folder, data included."),
        click.Option(["--yes"], is_flag=True, help="Do not ask before --wipe."),
    ],
)
def _down(dir: Path | None, cluster: str | None, wipe: bool, yes: bool) -> int:
    from galerist.local.down import down

    return down(dir=dir, cluster=cluster, wipe=wipe, yes=yes)


@command(
    "units",
    "Write the units of a cluster: render fills them in, for fleet or for systemd. docs/hosts.md tells how they are "
    "used.",
    [
        click.Argument(["what"], type=click.Choice(["render"]), expose_value=False),
        click.Option(
            ["--kind"], type=click.Choice(["fleet", "systemd"]), default="systemd", help="For what. [systemd]"
        ),
        click.Option(["--out"], type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where to."),
        CLUSTER,
        click.Option(["--registry"], metavar="URL", help="Where the registry is. [etcd3://127.0.0.1:2379]"),
        click.Option(["--expect"], metavar="NAMES", help="The nodes, for the first start. [3]"),
        click.Option(["--host"], metavar="HOST", help="Name or address of a machine, as systemd expands it. [%H]"),
        click.Option(["--image"], metavar="IMAGE", help="Image of the node (fleet). [galerist-node]"),
        click.Option(["--proxy-image"], metavar="IMAGE", help="Image of the proxy (fleet). [galerist-proxy]"),
        click.Option(["--docker"], metavar="PATH", help="The program docker (fleet). [/usr/bin/docker]"),
        click.Option(["--socket"], metavar="PATH", help="The engine's socket (fleet). [/var/run/docker.sock]"),
        click.Option(
            ["--galerist"], metavar="PATH", help="The program galerist (systemd). [/opt/galerist/bin/galerist]"
        ),
        click.Option(["--user"], metavar="USER", help="User of the nodes (systemd). [mysql]"),
        click.Option(["--write-port"], type=click.IntRange(1, 65535), metavar="PORT", help="Of the proxy. [3306]"),
        click.Option(["--read-port"], type=click.IntRange(1, 65535), metavar="PORT", help="Of the proxy. [3307]"),
    ],
)
def _units(kind: str, out: Path, **values: Any) -> int:
    from galerist.deploy.units import filled_in, write

    try:
        filled = filled_in(values)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        written = write(kind, filled, out)
    except OSError as error:
        print(f"galerist: {error.filename or out}: {error.strerror}; choose another --out", file=sys.stderr)
        return EX_FAILED
    print("\n".join(map(str, written)))
    return 0


@command(
    "tls",
    "Make certificates for a trial: init makes an authority and what is missing, renew makes certificates anew. "
    "Each NAME gets NAME.pem and NAME.key, for its name, loopback, and the host names and addresses that are given.",
    [
        click.Argument(["what"], type=click.Choice(["init", "renew"])),
        click.Argument(["holders"], nargs=-1, required=True, metavar="NAME[=HOST,…]…"),
        click.Option(["--out"], type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for them."),
        click.Option(
            ["--days"], type=click.IntRange(1, 3650), default=365, metavar="DAYS", help="Life of certificates. [365]"
        ),
    ],
)
def _tls(what: str, out: Path, days: int, holders: tuple[str, ...]) -> int:
    from galerist.cli.certificates import make

    return make(what == "renew", out, days, holders)


@command(
    "completion",
    "Print what makes a shell complete galerist's words.",
    [click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"]))],
)
def _completion(shell: str) -> int:
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None  # one of the three that click knows
    print(made(galerist, {}, "galerist", "_GALERIST_COMPLETE").source())
    return 0


@command("version", "Print the version of every part on this machine.", [])
def _version() -> int:
    from galerist.cli.parts import version_command

    return version_command()
