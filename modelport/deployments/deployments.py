"""All deployments of a server, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from modelport.contract.card import Card
from modelport.deployments.deployment import Deployment, Listener
from modelport.deployments.validation import RESERVED
from modelport.errors import Conflict, NotFound
from modelport.executors import Node
from modelport.settings import Settings
from modelport.store.deployments import DeploymentRow

__all__ = ["Deployment", "DeploymentRow", "Deployments", "Listener"]


class Deployments:
    """All deployments of this server, by name. added: called with each that comes.

    reserved: names that no service may have, and what has them: the first parts of front ends' paths.
    """

    def __init__(self, settings: Settings, folder: Path, listener: Listener | None = None) -> None:
        self._settings = settings
        self._folder = folder
        self._listener = listener
        self.by_name: dict[str, Deployment] = {}
        self.reserved: dict[str, str] = dict(RESERVED)
        self.added: list[Callable[[Deployment], None]] = []
        self._count = 0

    def add(self, row: DeploymentRow, card: Card | None = None) -> Deployment:
        """A new deployment, not yet started. Raises Conflict."""
        if row.name in self.by_name:
            raise Conflict(f"there is already a service called {row.name}")
        folder = self._folder / f"{self._count}"
        self._count += 1
        deployment = Deployment(row, self._settings, folder, self._listener, card)
        self.by_name[row.name] = deployment
        for tell in self.added:
            tell(deployment)
        return deployment

    def get(self, name: str) -> Deployment:
        """Raises NotFound."""
        try:
            return self.by_name[name]
        except KeyError:
            raise NotFound(f"there is no service called {name}") from None

    def version(self, deployment: Deployment) -> Deployment:
        """Which one answers a call of this deployment: it itself, or the version to which it shifts its share of calls.

        Call by call, so that of a hundred calls in a row the share is exact. If one of the two does not load, the other
        takes its calls.
        """
        shift = deployment.shift
        version = None if shift is None else self.by_name.get(shift.to)
        if shift is None or version is None:
            return deployment
        deployment.shifted += shift.share
        chosen, other = (deployment, version)
        if deployment.shifted >= 100:
            deployment.shifted -= 100
            chosen, other = other, chosen
        return chosen if chosen.failure is None or other.failure is not None else other

    def service_of(self, version: str) -> Deployment | None:
        """The deployment that shifts calls to this one."""
        shifts = ((deployment, deployment.shift) for deployment in self.by_name.values())
        return next((deployment for deployment, shift in shifts if shift is not None and shift.to == version), None)

    def remove(self, name: str) -> Deployment:
        """From here on nobody finds it; whoever removes it stops it. Raises NotFound."""
        deployment = self.get(name)
        del self.by_name[name]
        return deployment

    async def nodes(self) -> list[Node]:
        """All machines of clusters that the deployments' workers may run on, each once, by name."""
        answers = await asyncio.gather(*(deployment.nodes() for deployment in self))
        nodes = {node.id: node for answer in answers for node in answer}
        return sorted(nodes.values(), key=lambda node: (node.name, node.id))

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def __iter__(self) -> Iterator[Deployment]:
        return iter(list(self.by_name.values()))

    def __len__(self) -> int:
        return len(self.by_name)

    async def stop(self) -> None:
        await asyncio.gather(*(deployment.stop() for deployment in self))
