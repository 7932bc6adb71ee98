"""A HAProxy of somebody else's on a real engine: in another container, and under a real systemd."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from galerist import model as records
from galerist.registry.keys import Keys
from tests.docker.engine import Engine, until

pytestmark = pytest.mark.docker

NETWORK = VOLUME = "galerist-foreign"
IDENTITY = records.Identity("u", (records.Generation("g", 0, "a", "test-g"),))

NODE = """
import http.server, socketserver, sys, threading
class Hello(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(sys.argv[1].encode() + b"\\n")
        while data := self.request.recv(100):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
threading.Thread(target=Server(("", 3306), Hello).serve_forever).start()
Server(("", 9200), Health).serve_forever()
"""
"""A node as HAProxy sees it, told its name."""

CLIENT = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 3306), 10) as peer:
    print(peer.recv(10).decode().strip(), flush=True)
    while peer.send(b"?") and peer.recv(1):
        time.sleep(0.1)
"""
"""A session that stays, and ends when it is cut."""


class Place:
    """A network with a registry and two nodes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.network = engine.client.networks.create(NETWORK)
        self.made: list[Any] = []

    def begin(self) -> None:
        etcd = ["etcd", "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://registry:2379"]
        self.registry = self.run("galerist-etcd", "registry", etcd)
        self.nodes = {name: self.run("galerist-proxy", f"node-{name}", [*PYTHON, NODE, name]) for name in "ab"}

    def run(self, image: str, name: str, command: list[str], **more: Any) -> Any:
        if command not in ([], ["haproxy"]):  # else the image's own entrypoint runs
            command, more = command[1:], {"entrypoint": command[:1], **more}
        made = self.engine.client.containers.run(
            image, command, detach=True, name=name, hostname=name, network=NETWORK, **more
        )
        self.made.append(made)
        return made

    def put(self, key: str, value: str) -> None:
        until(lambda: self.registry.exec_run(["etcdctl", "put", key, "--", value])[0] == 0, 60, key)

    def report(self, cluster: str, name: str) -> None:
        self.nodes[name].reload()
        address = self.nodes[name].attrs["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
        report = records.Report(
            name,
            "boot",
            records.Endpoint(name, address, 3306, 4567, 9200),
            records.Server.UP,
            records.Data.PRESENT,
            "d",
        )
        self.put(Keys(cluster).members + name, records.dump(report))

    def writer(self, cluster: str, order: str) -> None:
        state = records.State(IDENTITY, records.View("g", 1, tuple(sorted(order))), None, tuple(order))
        self.put(Keys(cluster).state, records.dump(state))

    def close(self) -> None:
        for container in self.made:
            container.remove(force=True, v=True)
        with contextlib.suppress(docker.errors.NotFound):
            self.engine.client.volumes.get(VOLUME).remove()
        self.network.remove()


PYTHON = ["python3", "-c"]


@pytest.fixture(scope="module")
def place(engine: Engine) -> Iterator[Place]:
    made = Place(engine)
    try:
        made.begin()
        yield made
    finally:
        made.close()


def said(container: Any, *command: str) -> str:
    """The output of a command that must succeed in a container."""
    code, output = container.exec_run(list(command))
    assert code == 0, f"{command}: {output.decode()}"
    return str(output.decode())


def served_by(container: Any) -> str:
    """Who answers on the write port of this container."""
    return said(container, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3306; head -n1 <&3").strip()


def status(container: Any, folder: str) -> dict[str, Any]:
    return dict(json.loads(said(container, "cat", f"{folder}/status.json")))


def follows(place: Place, cluster: str, haproxy: Any, folder: str, logs: Any) -> Any:
    """Members change at run time; what is more takes one reload, and no session. The session, for later."""
    place.report(cluster, "a")
    place.writer(cluster, "ab")
    until(lambda: served_by(haproxy) == "a", 60, logs)
    place.report(cluster, "b")
    place.writer(cluster, "ba")
    until(lambda: served_by(haproxy) == "b", 30, logs)
    assert status(haproxy, folder)["reloads"] == 0
    session = place.run("galerist-proxy", f"client-{cluster}", [*PYTHON, CLIENT, haproxy.name])
    until(lambda: session.logs().decode().strip() == "b", 30)
    said(haproxy, "bash", "-c", f"echo '    timeout queue 7s' > {folder}/lines/defaults.cfg")
    until(lambda: status(haproxy, folder)["reloads"] == 1, 60, logs)
    assert "timeout queue 7s" in said(haproxy, "cat", f"{folder}/haproxy.cfg")
    assert served_by(haproxy) == "b"
    session.reload()
    assert session.status == "running", "the session lives on in the former worker"
    place.writer(cluster, "ab")
    until(lambda: served_by(haproxy) == "a", 30, logs)
    until(lambda: session.reload() or session.status == "exited", 30, "what the reload left on the former writer ends")
    return session


def test_in_another_container_it_is_reloaded_by_a_signal_through_the_engine(place: Place, engine: Engine) -> None:
    folder = "/shared"
    volumes = {VOLUME: {"bind": folder}}
    wait = f"mkdir -p {folder}/lines; until [ -s {folder}/haproxy.cfg ]; do sleep 0.1; done; "
    start = f"exec haproxy -W -S {folder}/master.sock,level,admin -f {folder}/haproxy.cfg"
    haproxy = place.run("galerist-proxy", "lb", ["sh", "-c", wait + start], user="0", volumes=volumes)
    until(lambda: said(haproxy, "ls", folder).strip() == "lines", 30)
    environment = {
        "GALERIST_CLUSTER": "lb", "GALERIST_REGISTRY": "etcd3://registry", "GALERIST_HAPROXY_DIR": folder,
        "GALERIST_HAPROXY_SNIPPETS": f"{folder}/lines", "GALERIST_HAPROXY_RELOAD": "docker:lb",
        "GALERIST_PROXY": "p1", "DOCKER_HOST": "unix:///run/engine.sock",
    }  # fmt: skip
    sockets = {str(engine.socket): {"bind": "/run/engine.sock"}}
    watcher = place.run(
        "galerist-proxy", "watcher", ["haproxy"], user="0", volumes={**volumes, **sockets}, environment=environment
    )

    def logs() -> str:
        return str(watcher.logs().decode() + haproxy.logs().decode())

    follows(place, "lb", haproxy, folder, logs)
    haproxy.kill()
    place.writer("lb", "ba")
    haproxy.start()
    until(lambda: served_by(haproxy) == "b", 60, logs)  # started by its engine, it is led again
    watcher.kill()
    assert served_by(haproxy) == "b", "it serves on without a watcher"


def test_under_systemd_it_is_reloaded_by_systemctl(place: Place) -> None:
    folder = "/var/lib/galerist/haproxy"
    machine = place.run(
        "galerist-machine", "machine", [], cap_add=["SYS_ADMIN"], security_opt=["seccomp=unconfined"],
        tmpfs={"/run": "", "/run/lock": "", "/tmp": ""}, volumes={"/sys/fs/cgroup": {"bind": "/sys/fs/cgroup"}},
    )  # fmt: skip

    def systemctl(*words: str) -> str:
        return said(machine, "systemctl", *words)

    until(lambda: systemctl("show", "--value", "-p", "SystemState").strip() in ("running", "degraded"), 60)
    # as docs/haproxy.md has it
    said(machine, "mkdir", "-p", f"{folder}/lines")
    options = f'CONFIG={folder}/haproxy.cfg\nEXTRAOPTS="-S {folder}/master.sock,level,admin"\n'
    said(machine, "bash", "-c", f"printf '%s' '{options}' > /etc/default/haproxy")
    settings = {
        "cluster": "machine", "registry": "etcd3://registry", "proxy": "p2", "haproxy-dir": folder,
        "haproxy-snippets": f"{folder}/lines", "haproxy-reload": "systemd:haproxy.service",
    }  # fmt: skip
    flags = [f"--{name}={value}" for name, value in settings.items()]
    said(machine, "systemd-run", "--unit=watcher", "/opt/galerist/bin/galerist", "haproxy", *flags)

    def journal() -> str:
        return str(machine.exec_run(["journalctl", "--no-pager", "-n", "60"])[1].decode(errors="replace"))

    until(lambda: said(machine, "test", "-s", f"{folder}/haproxy.cfg") == "", 60, journal)
    systemctl("start", "haproxy")
    main = systemctl("show", "--value", "-p", "MainPID", "haproxy").strip()
    follows(place, "machine", machine, folder, journal)
    assert systemctl("show", "--value", "-p", "MainPID", "haproxy").strip() == main, "reloaded, not restarted"
    systemctl("restart", "haproxy")
    place.writer("machine", "ba")
    until(lambda: served_by(machine) == "b", 60, journal)
