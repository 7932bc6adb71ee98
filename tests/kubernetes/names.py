"""Names for pods: dnsmasq, which is told what the API server knows of headless Services.

It stands for CoreDNS, which Debian has no package of.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

from tests.kubernetes.cluster import ApiServer
from tests.kubernetes.machines import NAMES

# One line for each change of a Service's addresses: all that it has
LINE = (
    "{{.metadata.namespace}} {{.metadata.name}}{{range .subsets}}{{range .addresses}}{{if .hostname}} {{.ip}} {{.hostname}}"
    '{{end}}{{end}}{{end}}{{"\\n"}}'
)


class Names:
    """The name server, and a thread that tells it what has changed."""

    def __init__(self, server: ApiServer) -> None:
        self._folder = server.directory / "names"
        self._folder.mkdir()
        self._hosts = self._folder / "hosts"
        self._hosts.touch()
        self._known: dict[tuple[str, str], list[str]] = {}
        command = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--no-negcache",
        ]
        command += [
            f"--listen-address={NAMES}",
            "--bind-interfaces",
            f"--addn-hosts={self._hosts}",
            "--local=/cluster.local/",
        ]
        command += ["--user=root", "--pid-file="]
        with (self._folder / "log").open("ab") as log:
            self._dnsmasq = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        watch = [server.bin / "kubectl", f"--kubeconfig={server.kubeconfig(name='names')}", "get", "endpoints", "-A"]
        watch += ["--watch", "-o", f"go-template={LINE}"]
        self._watch = subprocess.Popen(watch, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self._thread = threading.Thread(target=self._follow, name="names")
        self._thread.start()

    def close(self) -> None:
        for process in (self._watch, self._dnsmasq):
            process.kill()
            process.wait()
        self._thread.join()

    def _follow(self) -> None:
        assert self._watch.stdout is not None
        for line in self._watch.stdout:
            namespace, service, *pairs = line.split()
            addresses, names = pairs[::2], pairs[1::2]
            self._known[namespace, service] = [
                f"{address} {name}.{service}.{namespace}.svc.cluster.local"
                for address, name in zip(addresses, names, strict=True)
            ]
            self._write()
            self._dnsmasq.send_signal(signal.SIGHUP)

    def _write(self) -> None:
        lines = [line for known in self._known.values() for line in known]
        new = Path(f"{self._hosts}.new")
        new.write_text("\n".join(lines) + "\n")
        new.replace(self._hosts)
