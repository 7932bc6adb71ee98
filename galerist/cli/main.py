"""The command line: flags made from the settings, commands imported only when they run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from galerist import __version__
from galerist.cli.examples import EXAMPLES
from galerist.settings import FIELDS, Field, Settings, SettingsError, load

EX_FAILED = 1
EX_CONFIG = 78
EX_INTERRUPTED = 130

_EPILOG = (
    "A flag --some-key may be given as GALERIST_SOME_KEY in the environment, or as some_key in the file of --config. "
    "The flag goes over the environment, the environment over the file. All keys: docs/settings.md."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Mistakes of the user end in a message, never in a traceback."""
    from galerist.registry.contract import RegistryError

    try:
        code = galerist.main(args=arguments, prog_name="galerist", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except RegistryError as error:
        print(f"galerist: {error}", file=sys.stderr)
        return EX_FAILED
    except (KeyboardInterrupt, click.Abort):
        return EX_INTERRUPTED


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="galerist", message="%(prog)s %(version)s")
def galerist() -> None:
    """Galera clusters that start, heal and explain themselves."""


def _option(field: Field) -> click.Option:
    if field.type_text == "true|false":
        names = [field.flag, f"--no-{field.flag[2:]}"]
        return click.Option(["/".join(names), field.key], default=None, is_flag=True, help=_help(field))
    metavar = "FILE" if field.secret else field.type_text.upper().replace(" ", "-")
    return click.Option([field.flag, field.key], metavar=metavar, help=_help(field))


def _help(field: Field) -> str:
    text = f"file with the {field.help}" if field.secret else field.help
    text = text[0].upper() + text[1:]
    return f"{text}. [{field.default_text}]" if field.default_text else f"{text}."


_CONFIG = click.Option(
    ["--config"],
    envvar="GALERIST_CONFIG",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with settings (TOML).",
)
_DIR = click.Option(
    ["--dir"], type=click.Path(path_type=Path), metavar="DIR", help="Folder of a cluster made by `galerist up`."
)
_FORMAT = click.Option(
    ["--format"], type=click.Choice(["table", "json", "yaml", "tsv"]), default="table", help="How it is shown."
)
_CLUSTER = click.Option(["--cluster"], metavar="NAME", help="Name of the cluster. [galera]")


def _command(
    name: str, run: Callable[..., int], help: str, parameters: list[click.Parameter], epilog: str = ""
) -> None:
    examples = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[name].strip().splitlines())
    galerist.add_command(
        click.Command(
            name,
            callback=run,
            params=parameters,
            help=help,
            epilog=f"{examples}\n\n{epilog}",
            short_help=help.partition(".")[0] + ".",
        )
    )


def _settings_options(part: str) -> list[click.Parameter]:
    return [_CONFIG, *(_option(field) for field in FIELDS if part in field.parts)]


def _texts(flags: dict[str, Any]) -> dict[str, str | None]:
    return {key: str(value).lower() if isinstance(value, bool) else value for key, value in flags.items()}


def _load(part: str, config: Path | None, flags: dict[str, Any]) -> Settings:
    return load(_texts(flags), os.environ, config, part)


def _log(settings: Settings, who: str) -> None:
    from galerist import logs

    logs.setup(settings.log_level, settings.log_format, who)


def _bootstrap(config: Path | None, **flags: Any) -> int:
    if os.getpid() == 1:
        from galerist.cli.container import node

        return node(config, _texts(flags))
    settings = _load("bootstrap", config, flags)
    _log(settings, settings.node)
    from bootstrap.run import main

    return main(settings)


def _clustercheck(config: Path | None, once: bool, page: str, disable: str | None, enable: bool, **flags: Any) -> int:
    settings = _load("clustercheck", config, flags)
    if disable is not None or enable:
        from clustercheck.app import switch

        return switch(settings, disable)
    if once:
        from clustercheck.app import look_once

        return look_once(settings, page)
    _log(settings, settings.node)
    from clustercheck.app import main

    return main(settings)


def clustercheck() -> int:
    """The program ``clustercheck``: the sub-command of that name."""
    return main(["clustercheck", *sys.argv[1:]])


def _haproxy(config: Path | None, action: str, facts: Path | None, **flags: Any) -> int:
    if action == "status":
        from haproxy import figures

        return figures.show(_load("haproxy", config, flags).haproxy_dir)
    if action != "run":
        from haproxy.preview import show

        return show(_load("haproxy", config, flags), action, facts)
    if facts is not None:
        raise click.UsageError("--facts is for render and diff")
    if os.getpid() == 1:
        from galerist.cli.container import proxy

        return proxy(config, _texts(flags))
    settings = _load("haproxy", config, flags)
    _log(settings, settings.proxy)
    from haproxy.watcher import main

    return main(settings)


def _dashboard(config: Path | None, **flags: Any) -> int:
    settings = _load("dashboard", config, flags)
    _log(settings, "dashboard")
    from dashboard.app import main
    from galerist.cli.deeds import Orders

    return main(settings, Orders(settings))


def _discovery(config: Path | None, **flags: Any) -> int:
    settings = _load("discovery", config, flags)
    _log(settings, settings.node)
    from galerist.deploy.discovery import main

    return main(settings)


def _settings_unless_dir(part: str, config: Path | None, dir: Path | None, flags: dict[str, Any]) -> Settings | None:
    """The registry is found by the settings, or by the folder of a local cluster."""
    if dir is None:
        settings = _load(part, config, flags)
        _log(settings, "")
        return settings
    given = [key for key, value in flags.items() if value is not None and not key.startswith("log_")]
    if given:
        raise click.UsageError(f"--dir and --{given[0].replace('_', '-')} exclude one another")
    return None


def _list(config: Path | None, dir: Path | None, format: str, watch: bool, **flags: Any) -> int:
    settings = _settings_unless_dir("list", config, dir, flags)
    from galerist.cli.show import list_command

    return list_command(settings, dir, format, watch)


def _topology(config: Path | None, dir: Path | None, format: str, **flags: Any) -> int:
    settings = _settings_unless_dir("list", config, dir, flags)
    from galerist.cli.show import topology_command

    return topology_command(settings, dir, format)


def _explain(config: Path | None, dir: Path | None, format: str, node: str | None, **flags: Any) -> int:
    settings = _settings_unless_dir("explain", config, dir, flags)
    from galerist.cli.show import explain_command

    return explain_command(settings, dir, node, format)


def _up(
    nodes: int | None,
    dir: Path | None,
    cluster: str | None,
    init_sql: tuple[Path, ...],
    detach: bool,
    sst_method: str | None,
    timeout: float | None,
) -> int:
    from galerist.local.up import up

    limit = {} if timeout is None else {"timeout": timeout}
    return up(nodes=nodes, dir=dir, cluster=cluster, init_sql=init_sql, detach=detach, sst_method=sst_method, **limit)


def _down(dir: Path | None, cluster: str | None, wipe: bool, yes: bool) -> int:
    from galerist.local.down import down

    return down(dir=dir, cluster=cluster, wipe=wipe, yes=yes)


def _person(name: str) -> Callable[..., int]:
    """A command by which a person overrules; see galerist.cli.orders."""

    def run(config: Path | None, dir: Path | None, yes: str | None, node: str | None = None, **flags: Any) -> int:
        settings = _settings_unless_dir("list", config, dir, flags)
        from galerist.cli import orders

        command = getattr(orders, f"{name}_command")
        code: int = command(settings, dir, node, yes) if node is not None else command(settings, dir, yes)
        return code

    return run


def _traffic(name: str) -> Callable[..., int]:
    """A command that leads clients elsewhere; see galerist.cli.traffic."""

    def run(config: Path | None, dir: Path | None, node: str | None, timeout: float = 0.0, **flags: Any) -> int:
        settings = _settings_unless_dir("list", config, dir, flags)
        from galerist.cli import traffic

        code: int = getattr(traffic, f"{name}_command")(settings, dir, node, timeout)
        return code

    return run


def _restart(
    config: Path | None,
    dir: Path | None,
    nodes: tuple[str, ...],
    rolling: bool,
    abort: bool,
    timeout: float,
    **flags: Any,
) -> int:
    settings = _settings_unless_dir("list", config, dir, flags)
    from galerist.cli.restart import restart_command

    return restart_command(settings, dir, nodes, rolling, abort, timeout)


def _history(config: Path | None, dir: Path | None, format: str, **flags: Any) -> int:
    settings = _settings_unless_dir("list", config, dir, flags)
    from galerist.cli.orders import history_command

    return history_command(settings, dir, format)


def _load_dumps(config: Path | None, dir: Path | None, retry: bool, **flags: Any) -> int:
    settings = _settings_unless_dir("list", config, dir, flags)
    from galerist.cli.orders import load_command

    return load_command(settings, dir, retry)


def _doctor(config: Path | None, dir: Path | None, format: str, **flags: Any) -> int:
    settings = _settings_unless_dir("list", config, dir, flags)
    wrong = layout = None
    if settings is None:
        from galerist.local.layout import locate

        layout = locate(dir, None)
        if not layout.settings.exists():
            raise click.UsageError(f"{layout.dir} holds no cluster of `galerist up`; give the folder that it printed")
        settings = load({}, {}, layout.settings, part="list")
    else:
        try:
            settings = _load("bootstrap", config, flags)  # of a node, with its options for the server
        except SettingsError as error:
            wrong = error
    from galerist.cli.doctor import doctor_command

    return doctor_command(settings, wrong, layout, format)


def _logs(config: Path | None, dir: Path | None, lines: int, nodes: tuple[str, ...]) -> int:
    files: list[tuple[str, Path]] = []
    if dir is not None:
        from galerist.local import plan
        from galerist.local.layout import locate

        layout = locate(dir, None)
        if not layout.plan.exists():
            raise click.UsageError(f"{layout.dir} holds no cluster of `galerist up`; give the folder that it printed")
        known = plan.load(layout.plan.read_text()).nodes
        strangers = [node for node in nodes if node not in known]
        if strangers:
            raise click.UsageError(f"no node {strangers[0]} is known here (known: {', '.join(known)})")
        for node in nodes or known:
            files += [(node, layout.log(node)), (f"{node} mariadbd", layout.error_log(node))]
    else:
        settings = _load("logs", config, {})
        files = [(f"{settings.node} mariadbd", settings.error_log)]
    from galerist.cli.journal import logs_command

    return logs_command(tuple(files), lines)


def _sql(
    config: Path | None, dir: Path | None, to: str | None, node: str | None, words: tuple[str, ...], **flags: Any
) -> int:
    if to is not None and node is not None:
        raise click.UsageError(f"--{to} and --node exclude one another")
    settings = _settings_unless_dir("list", config, dir, flags)
    from galerist.cli.client import sql_command

    return sql_command(settings, dir, to or "write", node, words)


def _completion(shell: str) -> int:
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None  # one of the three that click knows
    print(made(galerist, {}, "galerist", "_GALERIST_COMPLETE").source())
    return 0


def _units(kind: str, out: Path, **values: Any) -> int:
    from galerist.deploy.units import Values, write

    try:
        written = write(kind, Values(**{key: value for key, value in values.items() if value is not None}), out)
    except OSError as error:
        print(f"galerist: {error.filename or out}: {error.strerror}; choose another --out", file=sys.stderr)
        return EX_FAILED
    print("\n".join(map(str, written)))
    return 0


def _version() -> int:
    from galerist.cli.parts import version_command

    return version_command()


_command(
    "bootstrap",
    _bootstrap,
    "Run a node: decide how its server starts, start it, keep it, and tell the registry. Ends cleanly on SIGTERM.",
    _settings_options("bootstrap"),
    _EPILOG,
)
_command(
    "clustercheck",
    _clustercheck,
    "Answer HTTP about the node's health. 200 is usable, 404 takes no new clients, 503 is down.",
    [
        click.Option(["--once"], is_flag=True, help="Ask once, print one HTTP answer, exit 0 for 200 and else 1."),
        click.Option(
            ["--page"],
            type=click.Choice(["/", "/write", "/read", "/donor", "/live", "/ready"]),
            default="/",
            help="What --once asks. [/]",
        ),
        click.Option(["--disable"], metavar="REASON", help="Take no new clients from now on, and end."),
        click.Option(["--enable"], is_flag=True, help="Take clients again, and end."),
        *_settings_options("clustercheck"),
    ],
    _EPILOG,
)
_command(
    "haproxy",
    _haproxy,
    "Run HAProxy and keep it in line with the registry. Ends cleanly on SIGTERM. "
    "With render it prints the configuration instead, with diff how that differs from the one in force, with status what the watcher last said of itself.",
    [
        click.Argument(["action"], type=click.Choice(["run", "render", "diff", "status"]), default="run"),
        click.Option(
            ["--facts"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="For render and diff: JSON facts to take instead of the registry's.",
        ),
        *_settings_options("haproxy"),
    ],
    _EPILOG,
)
_command(
    "dashboard",
    _dashboard,
    "Serve the web page: the cluster at a glance, live. Ends on SIGTERM or Ctrl-C.",
    _settings_options("dashboard"),
    _EPILOG,
)
_command(
    "discovery",
    _discovery,
    "Say in the registry where a node's container is reached from outside. Follows the Docker API; ends on SIGTERM.",
    _settings_options("discovery"),
    _EPILOG,
)
_command(
    "up",
    _up,
    "Run a whole cluster on this machine. It has an etcd, nodes with health endpoints, and HAProxy with its watcher.",
    [
        click.Option(["--nodes"], type=click.IntRange(1, 9), metavar="N", help="How many nodes. [3]"),
        _DIR,
        _CLUSTER,
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
            ["--timeout"],
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="With --detach: give up waiting after this long; the cluster goes on trying. [300]",
        ),
    ],
)
_command(
    "down",
    _down,
    "End a cluster that `galerist up` runs. Nodes leave cleanly.",
    [
        _DIR,
        _CLUSTER,
        click.Option(["--wipe"], is_flag=True, help="Remove its folder, data included."),
        click.Option(["--yes"], is_flag=True, help="Do not ask before --wipe."),
    ],
)
_command(
    "list",
    _list,
    "Show the members of a cluster and its proxy. JSON is documented in docs/list.md.",
    [
        click.Option(["-w", "--watch"], is_flag=True, help="Follow it until Ctrl-C."),
        _DIR,
        _FORMAT,
        *_settings_options("list"),
    ],
    _EPILOG,
)
_command(
    "topology",
    _topology,
    "Show who leads whom where. From the proxies' ports to the nodes.",
    [_DIR, _FORMAT, *_settings_options("list")],
    _EPILOG,
)
_command(
    "explain",
    _explain,
    "Say why a node is where it is. With the evidence, and with what ends a wait.",
    [click.Argument(["node"], required=False), _DIR, _FORMAT, *_settings_options("explain")],
    _EPILOG,
)
_command(
    "doctor",
    _doctor,
    "Examine this machine and its cluster. Each finding comes with its remedy; exit code 1 when one is to be mended.",
    [_DIR, _FORMAT, *_settings_options("list")],
    _EPILOG,
)
_command(
    "load",
    _load_dumps,
    "Show how the initialisation of the database went, or order a failed one to be tried again.",
    [
        click.Option(["--retry"], is_flag=True, help="Try a load again that has failed."),
        _DIR,
        *_settings_options("list"),
    ],
    _EPILOG,
)
_NODE_ARGUMENT = click.Argument(["node"])
_YES = click.Option(
    ["--yes"],
    is_flag=False,
    flag_value="",
    metavar="[NUMBER]",
    help="Do not ask. Where data may be lost, NUMBER is the one that the command prints.",
)
_command(
    "recover",
    _person("recover"),
    "Start the cluster from one node by order, whatever other disks hold. Says first what may be lost.",
    [
        click.Option(["--node"], required=True, metavar="NODE", help="The node to start from."),
        _YES,
        _DIR,
        *_settings_options("list"),
    ],
    _EPILOG,
)
_command(
    "forget",
    _person("forget"),
    "Stop waiting for a node that will never return.",
    [_NODE_ARGUMENT, _YES, _DIR, *_settings_options("list")],
    _EPILOG,
)
_command(
    "reinit",
    _person("reinit"),
    "Set a node's datadir aside, so that it joins as an empty one.",
    [_NODE_ARGUMENT, _YES, _DIR, *_settings_options("list")],
    _EPILOG,
)
_command(
    "switchover",
    _traffic("switchover"),
    "Make another node the writer. Ends when every proxy has confirmed.",
    [
        click.Option(
            ["--to", "node"], metavar="NODE", help="The node. [the next in the order that is Synced and open]"
        ),
        click.Option(["--timeout"], type=click.FloatRange(0), default=15.0, metavar="S", help="Seconds to wait. [15]"),
        _DIR,
        *_settings_options("list"),
    ],
    _EPILOG,
)
_command(
    "drain",
    _traffic("drain"),
    "Lead all clients away from a node. Ends when no proxy has a session on it.",
    [
        _NODE_ARGUMENT,
        click.Option(["--timeout"], type=click.FloatRange(0), default=60.0, metavar="S", help="Seconds to wait. [60]"),
        _DIR,
        *_settings_options("list"),
    ],
    _EPILOG,
)
_command(
    "undrain",
    _traffic("undrain"),
    "Let a drained node have clients again.",
    [_NODE_ARGUMENT, _DIR, *_settings_options("list")],
    _EPILOG,
)
_command(
    "restart",
    _restart,
    "Restart servers one after the other, the writer last. Clients are led away from each before; it halts when "
    "something is unhealthy, and goes on when it is called again.",
    [
        click.Argument(["nodes"], nargs=-1, metavar="[NODE]..."),
        click.Option(["--rolling"], is_flag=True, help="All nodes; or go on with an unfinished restart."),
        click.Option(["--abort"], is_flag=True, help="End an unfinished restart."),
        click.Option(
            ["--timeout"], type=click.FloatRange(0), default=600.0, metavar="S", help="Seconds for each step. [600]"
        ),
        _DIR,
        *_settings_options("list"),
    ],
    _EPILOG,
)


@galerist.group("config", short_help="Settings of running servers, for the whole cluster.")
def config_group() -> None:
    """Settings of running servers, for the whole cluster. They are applied without a restart."""


def _config(name: str, help: str, parameters: list[click.Parameter]) -> None:
    def run(config: Path | None, dir: Path | None, **words: Any) -> int:
        flags = {key: words.pop(key) for key in list(words) if key in _LIST_KEYS}
        settings = _settings_unless_dir("list", config, dir, flags)
        from galerist.cli import config as commands

        code: int = getattr(commands, f"{name}_command")(settings, dir, **words)
        return code

    options = [*parameters, _DIR, *_settings_options("list")]
    config_group.add_command(click.Command(name, callback=run, params=options, help=help, epilog=_EPILOG))


_LIST_KEYS = {field.key for field in FIELDS if "list" in field.parts}
_config("show", "What is set, and which nodes have it.", [_FORMAT])
_config(
    "set",
    "Set: NAME=VALUE. A wrong name lists those that can be set.",
    [click.Argument(["pairs"], nargs=-1, required=True, metavar="NAME=VALUE...")],
)
_config(
    "unset",
    "Set no longer; running servers keep the value until their next restart.",
    [click.Argument(["names"], nargs=-1, required=True, metavar="NAME...")],
)
_config("edit", "All of it in your editor.", [])
_command(
    "pause",
    _person("pause"),
    "Let the agents watch and decide nothing.",
    [_YES, _DIR, *_settings_options("list")],
    _EPILOG,
)
_command(
    "resume",
    _person("resume"),
    "Let the agents decide again.",
    [_YES, _DIR, *_settings_options("list")],
    _EPILOG,
)
_command(
    "history",
    _history,
    "Show what was decided and ordered, oldest first.",
    [_DIR, _FORMAT, *_settings_options("list")],
    _EPILOG,
)
_command(
    "logs",
    _logs,
    "Show the logs of agents and servers, merged by time. With --dir of all nodes, else the server's on this machine.",
    [
        click.Argument(["nodes"], nargs=-1, metavar="[NODE]..."),
        click.Option(
            ["-n", "--lines"], type=click.IntRange(0), default=200, help="How many, from the end; 0: all. [200]"
        ),
        _DIR,
        _CONFIG,
    ],
)
_command(
    "sql",
    _sql,
    "Open MariaDB's client in the right place. What follows -- is passed on to it.",
    [
        click.Option(["--write", "to"], flag_value="write", help="The write port. [so without any of these]"),
        click.Option(["--read", "to"], flag_value="read", help="The read port."),
        click.Option(["--node"], metavar="NODE", help="This node, past the proxy."),
        click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTION...]"),
        _DIR,
        *_settings_options("list"),
    ],
    _EPILOG,
)
_command(
    "completion",
    _completion,
    "Print what makes a shell complete galerist's words.",
    [click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"]))],
)
_command(
    "units",
    _units,
    "Write the units of a cluster: render fills them in, for fleet or for systemd. docs/hosts.md tells how they are used.",
    [
        click.Argument(["what"], type=click.Choice(["render"]), expose_value=False),
        click.Option(
            ["--kind"], type=click.Choice(["fleet", "systemd"]), default="systemd", help="For what. [systemd]"
        ),
        click.Option(["--out"], type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where to."),
        click.Option(["--cluster"], metavar="NAME", help="Name of the cluster. [galera]"),
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
_command("version", _version, "Print the version of every part on this machine.", [])

if __name__ == "__main__":
    sys.exit(main())
