"""The two small files that a verdict rests on besides the server: the agent's, and yours."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from clustercheck.verdict import Agent, Peer


def read_disabled(path: Path) -> str:
    """Why this node is disabled by hand, or nothing. The content of the file is the reason."""
    try:
        with path.open(errors="replace") as file:
            text = file.read(200).strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:  # it is there, or it may be: the cautious answer is a drain
        return f"{path} ({error.strerror})"
    return text.splitlines()[0] if text else f"{path} exists"


class AgentFile:
    """What the agent wrote, read again only when the file has changed: every request looks at it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[tuple[int, int, int], Agent | None] | None = None

    def read(self) -> Agent | None:
        try:
            about = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return Agent(problem=f"{self._path}: {error.strerror}")
        sign = about.st_ino, about.st_mtime_ns, about.st_size
        known = self._known
        if known is None or known[0] != sign:
            known = self._known = sign, read_agent(self._path)
        agent = known[1]
        # The agent gives its file the time at which it last heard of the registry.
        return replace(agent, heard_ago=max(0.0, time.time() - about.st_mtime)) if agent is not None else None


def read_agent(path: Path) -> Agent | None:
    """What the agent wrote, None when there is nothing (no agent on this node, or not yet)."""
    try:
        said = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Agent(problem=f"{path}: {error.strerror}")
    except ValueError:
        return Agent(problem=f"{path} is no JSON")
    if not isinstance(said, dict):
        return Agent(problem=f"{path} holds no JSON object")
    flags = {name: said.get(name, False) for name in ("opened", "paused", "drained")}
    if not all(isinstance(value, bool) for value in flags.values()):
        return Agent(problem=f"{path}: opened, paused and drained must be true or false")
    agent = Agent(**flags, reason=str(said.get("reason") or ""))
    try:
        return _with_members(agent, said)
    except (KeyError, TypeError, ValueError, AttributeError):
        return agent  # whether the node may serve does not depend on it


def _with_members(agent: Agent, said: dict[str, Any]) -> Agent:
    peers = said.get("peers")
    return replace(
        agent,
        node=str(said.get("node", "")),
        host=str(said.get("host", "")),
        port=int(said.get("port", 0)),
        writer=tuple(str(node) for node in said.get("writer", ())),
        peers=None
        if peers is None
        else tuple(
            Peer(
                str(peer["node"]),
                str(peer["host"]),
                int(peer["port"]),
                int(peer["check_port"]),
                peer["usable"] is True,
                str(peer.get("incoming", "")),
            )
            for peer in peers
        ),
    )
