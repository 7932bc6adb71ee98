"""The orders that the web page can give: the same as those of the command line, none that may lose data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bootstrap import orders
from bootstrap.orders import Order
from dashboard.web import Refused
from galerist.cli import traffic
from galerist.cli.orders import CHANGED, carry_out, look
from galerist.model import Malformed
from galerist.registry import events
from galerist.registry.keys import Keys

if TYPE_CHECKING:
    from galerist.settings import Settings
    from galerist.view.facts import Cluster

_OF_A_NODE: dict[str, Callable[[Cluster, str], Order]] = {
    "switchover": traffic.switchover,
    "drain": traffic.drain,
    "undrain": traffic.undrain,
}


class Orders:
    """See :class:`dashboard.web.Deeds`. Each order has a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def says(self, name: str, node: str | None) -> tuple[str, ...]:
        """What the order will do."""
        return self._with(name, node, "", carry=False)

    def give(self, name: str, node: str | None, who: str) -> str:
        """Give the order."""
        return " ".join(self._with(name, node, who, carry=True))

    def _with(self, name: str, node: str | None, who: str, carry: bool) -> tuple[str, ...]:
        from galerist.registry.open import open_registry

        registry = open_registry(self._settings)
        try:
            raw, seen = look(registry, self._settings.cluster)
            order = _order(seen, name, node, who)
            words = f"{name} {node}" if node is not None else name
            if carry and not carry_out(registry, Keys(self._settings.cluster), raw, order, words, who):
                raise Refused(CHANGED)
            return order.says
        except (orders.Refused, Malformed) as error:
            raise Refused(str(error)) from error
        finally:
            registry.close()


def _order(seen: Cluster, name: str, node: str | None, who: str) -> Order:
    if name == "pause":
        return orders.pause(seen.state, f"{who} at {events.now()[:19]}Z")
    if name == "resume":
        return orders.resume(seen.state)
    if node is None:
        raise KeyError(name)
    return _OF_A_NODE[name](seen, node)
