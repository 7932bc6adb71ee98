"""``galerist drain NODE --while FILE``: a drain that lasts as long as a file says so, such as the annotation of a pod.

Who annotates a pod may do that with the pod's rights alone, and the drain is over when the pod is. A mark in the
registry tells this drain from one that a person has ordered, which is left alone.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from bootstrap.orders import Order, Refused
from galerist.cli import traffic
from galerist.cli.orders import carry_out, look
from galerist.cli.show import opened
from galerist.model import Malformed
from galerist.registry.contract import Registry, RegistryError
from galerist.registry.keys import Keys
from galerist.settings import Settings
from galerist.view.facts import Cluster
from galerist.wake import Wake

_LOOK = 1.0  # s between two looks at the file
_AGAIN = 30  # looks after which the registry is asked, though the file has not changed
_NO = ("", "0", "false", "no", "off")


def says(file: Path) -> bool:
    """Whether the file wants the drain: it has a first line, and that is no "no"."""
    try:
        return file.read_text(errors="replace").strip().partition("\n")[0].strip().lower() not in _NO
    except OSError:
        return False


def following(cluster: Cluster, node: str, wanted: bool, marked: bool) -> Order | None:
    """What is to be ordered now, None when all is as it should be. ``marked``: an earlier drain was ordered here.

    Raises Refused.
    """
    drained = node in cluster.state.drained
    if wanted:
        return None if drained else traffic.drain(cluster, node)
    if not marked:
        return None
    return traffic.undrain(cluster, node) if drained else Order((f"The drain of {node} was ended by somebody else.",))


def turn(registry: Registry, name: str, node: str, wanted: bool) -> tuple[str, ...]:
    """Order what is to be ordered, and say so. Raises Refused, RegistryError."""
    keys = Keys(name)
    marked = registry.get(keys.standing(node)) is not None
    raw, seen = look(registry, name)
    order = following(seen, node, wanted, marked)
    if order is None:
        return ()
    if wanted:
        registry.put(keys.standing(node), "")  # before the order: a drain without its mark would outlive the file
    words = "drain" if wanted else "undrain"
    if not carry_out(registry, keys, raw, order, f"{words} {node}", f"{node}'s pod"):
        raise Refused("the state of the cluster has changed meanwhile; trying again")
    if not wanted:
        registry.delete(keys.standing(node))
    return order.says


def follow(settings: Settings | None, dir: Path | None, node: str, file: Path) -> int:
    """Until SIGTERM or SIGINT; then 0, and the drain stands."""
    stop = Wake()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    done: bool | None = None
    said, looks = "", 0
    while not stop.is_set():
        wanted = says(file)
        looks += 1
        if wanted != done or looks >= _AGAIN:
            try:
                with opened(settings, dir) as (registry, name):
                    told = "\n".join(turn(registry, name, node, wanted))
                done, looks = wanted, 0
            except (Refused, RegistryError, Malformed) as error:
                told = f"galerist: {'drain' if wanted else 'undrain'} {node} waits: {error}"
            if told and told != said:
                print(told, file=sys.stderr, flush=True)
            said = told
        stop.wait(_LOOK)
    return 0
