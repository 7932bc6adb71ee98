"""The documents are held to the code."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import click

from galerist.cli.examples import EXAMPLES
from galerist.cli.main import galerist
from galerist.model import Data, Endpoint, Generation, Identity, ProxyReport, Report, Server, State
from galerist.view.facts import Cluster
from galerist.view.listing import as_data

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_link_leads_somewhere() -> None:
    links = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target
    ]
    assert len(links) > 10
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []


def test_every_page_is_reached_from_the_first() -> None:
    first = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES[1:] if f"]({page.relative_to(ROOT)})" not in first] == []


def test_the_fields_of_the_list_are_those_of_its_page() -> None:
    identity = Identity("u", (Generation("g", 0, "n1", "galera-g"),))
    report = Report("n1", "b", Endpoint("h", "i", 1, 2, 3), Server.UP, Data.PRESENT, "d")
    proxy = ProxyReport("p", "h", "i", 1, 2, 3, 4)
    data = as_data(Cluster("galera", State(identity), (report,), (), (proxy,)))
    page = (ROOT / "docs" / "list.md").read_text()
    fields = {*data, *data["members"][0], *data["proxy"]}
    assert sorted(field for field in fields if f"`{field}`" not in page) == []


def test_the_layers_of_the_page_are_those_of_the_contract() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    layers = config["importlinter:contract:layers"]["layers"].replace("|", " ").split()
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert layers, "the contract stands in setup.cfg"
    assert [layer for layer in layers if f"`{layer}`" not in page] == []


def test_commands_that_the_documents_and_sentences_name_exist() -> None:
    texts = [page.read_text() for page in PAGES]
    texts += [path.read_text() for path in (ROOT / "bootstrap").glob("*.py")]
    named = {word for text in texts for word in re.findall(r"[`\"=]galerist ([a-z]+)\b", text)}
    assert {"recover", "list", "up"} <= named
    assert sorted(named - set(galerist.commands)) == []


def refusals(lines: list[str]) -> list[str]:
    """Of these command lines those that the parser of galerist does not take, and why. ``[`` and ``…`` do not count."""
    found = []
    for line in lines:
        words = shlex.split(re.sub(r"[\[\]…]", "", line), comments=True)[1:]
        words = words[: next((at for at, word in enumerate(words) if word in ("&", ">")), None)]
        command: click.Command = galerist
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        try:
            command.make_context(line, words)
        except click.UsageError as error:
            found.append(f"{line}: {error.format_message()}")
    return found


def test_command_lines_that_help_and_documents_show_are_taken() -> None:
    shown = [text.replace("\\\n", "") for text in EXAMPLES.values()]
    lines = [line for text in shown for line in text.splitlines() if line.startswith("galerist ")]
    for page in PAGES:
        lines += re.findall(r"^    (?:\.venv/bin/)?(galerist .+)$", page.read_text().replace("\\\n", ""), re.M)
    assert len(lines) > 80
    assert refusals(lines) == []
    assert len(refusals(["galerist list --colour", "galerist drain", "galerist sql --read --nodes 3"])) == 3


def test_every_command_and_exit_code_stands_in_the_page_of_commands() -> None:
    from galerist.cli import main, making, show

    page = (ROOT / "docs" / "commands.md").read_text()
    daemons = {"bootstrap", "clustercheck", "haproxy", "up", "down"}
    assert (
        sorted(name for name in set(galerist.commands) - daemons if not re.search(rf"`(galerist )?{name}\b", page))
        == []
    )
    codes = {0, 2, 69, making.EX_FAILED, main.EX_CONFIG, main.EX_INTERRUPTED, show.NOT_FOUND}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.M)} == codes
