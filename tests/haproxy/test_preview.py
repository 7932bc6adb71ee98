"""render and diff print the configuration and touch nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from galerist import model as records
from tests.haproxy.fakes import until
from tests.haproxy.proxies import Proxy
from tests.haproxy.test_model import A, B, report


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "galerist", "haproxy", *words, "--haproxy-dir", str(folder / "dir")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_file_for_given_facts(tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    state = records.State(records.Identity("u", ()), None, None, ("b", "a"))
    members = {server.name: json.loads(records.dump(report(server))) for server in (A, B)}
    facts.write_text(json.dumps({"members": members, "state": json.loads(records.dump(state))}))
    done = run(tmp_path, "render", "--facts", str(facts))
    assert done.returncode == 0, done.stderr
    servers = [line.split()[1] for line in done.stdout.splitlines() if line.strip().startswith("server ")]
    assert servers == ["b", "a", "b", "a"], "write and read, the writer first"
    assert not (tmp_path / "dir").exists(), "nothing was written"
    changed = run(tmp_path, "diff", "--facts", str(facts))
    assert changed.returncode == 0
    assert "+listen write" in changed.stdout
    assert "takes a reload" in changed.stderr


def test_facts_and_templates_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    for text in ("{", '{"nods": []}', '[{"name": 1}]', '{"members": 7}'):
        facts.write_text(text)
        done = run(tmp_path, "render", "--facts", str(facts))
        assert done.returncode == 78
        assert f"{facts} holds no facts" in done.stderr
        assert "Traceback" not in done.stderr
    facts.write_text("[]")
    template = tmp_path / "mine.j2"
    template.write_text("global\n{{ nothing }}\n")
    done = run(tmp_path, "render", "--facts", str(facts), "--haproxy-template", str(template))
    assert (done.returncode, f"{template}, line 2: 'nothing' is undefined" in done.stderr) == (78, True)


def test_diff_compares_with_what_is_in_force(proxy: Proxy) -> None:
    proxy.report(proxy.node("a"))
    proxy.record("a", writer="a")
    proxy.start()
    until(lambda: "server a " in proxy.config.read_text() and proxy.settled(), "a is in the file")

    def diff(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*proxy.command, "diff", *more], capture_output=True, text=True, timeout=60)

    assert diff().stdout == "Nothing would change.\n"
    more = diff("--proxy-protocol-out", "v2")
    assert "+    default-server send-proxy-v2" in more.stdout
    assert "takes a reload" in more.stderr
