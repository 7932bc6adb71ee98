"""Which key holds what (the convention is told in docs/registry.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one cluster. Prefixes end with a slash."""

    cluster: str

    @property
    def root(self) -> str:
        return f"/galerist/{self.cluster}/"

    @property
    def state(self) -> str:
        return f"{self.root}state"

    @property
    def members(self) -> str:
        return f"{self.root}members/"

    @property
    def nodes(self) -> str:
        return f"{self.root}nodes/"

    @property
    def history(self) -> str:
        return f"{self.root}history/"

    @property
    def proxies(self) -> str:
        return f"{self.root}proxies/"

    @property
    def init(self) -> str:
        """Progress and result of the database initialisation."""
        return f"{self.root}init"

    @property
    def config(self) -> str:
        """Settings of running servers, given for the whole cluster."""
        return f"{self.root}config"

    @property
    def tuned(self) -> str:
        """What each agent says of having applied them."""
        return f"{self.root}tuned/"

    @property
    def questions(self) -> str:
        """Leased: a doctor asks all agents what they reach."""
        return f"{self.root}doctor/"

    @property
    def answers(self) -> str:
        """What each agent answers, while somebody asks."""
        return f"{self.root}reached/"

    def sidekick(self, node: str) -> str:
        """Leased: the one container of the node that `galerist discovery` tells of."""
        return f"{self.root}sidekicks/{node}"

    def standing(self, node: str) -> str:
        """Present while a node is drained because a file says so (``galerist drain --while``)."""
        return f"{self.root}standing/{node}"

    @property
    def components(self) -> str:
        """Where confd templates and fleet-era clients look for the SQL listeners."""
        return f"/components/{self.cluster}/"

    def services(self, proxy: str) -> str:
        """Where a proxy announces itself."""
        return f"/services/database/{self.cluster}/{proxy}/"
