"""Services: what is deployed while the server runs. Kept in the store, and there again after a restart."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any, TypeVar

from modelport.contract.card import Card
from modelport.deployments import validation as rows
from modelport.deployments.budget import Budget
from modelport.deployments.deployments import Deployment, Deployments
from modelport.deployments.loaded import describes_like, starts_like
from modelport.errors import Conflict, Forbidden, InvalidArguments, LoadFailed, ModelportError, NotFound, from_plain
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.deployments import (
    DeploymentRow,
    add_deployment,
    delete_deployment,
    list_deployments,
    update_deployment,
)
from modelport.store.failures import STORE_TROUBLE
from modelport.store.job_upkeep import forget_deployment, leave_version
from modelport.store.links import delete_links_of
from modelport.store.values import delete_value, get_values, set_value
from modelport.tasks import Tasks

logger = logging.getLogger(__name__)

CARD = "card/"
FAILURE = "failure/"

T = TypeVar("T")

# A start with many services that stay warm loads so many at once: more would only slow each other down.
LOADING_AT_ONCE = 4

# An undeploy waits so long for what is left to be removed, which then goes on in the background; and how often what
# fails is tried again.
CLEARING_S = 10.0
CLEAR_AGAIN_S = 1.0

SOLD = "calls of a service with a price cannot be shifted, nor to one"


def new_token() -> str:
    return secrets.token_hex(32)


class Services:
    """Deploys, changes and undeploys, in the store and in this server alike.

    begun: called with each new service before whoever deploys it is answered. ended: called with the name of each that
    has gone.
    """

    def __init__(self, settings: Settings, store: Store, deployments: Deployments) -> None:
        self._settings = settings
        self._store = store
        self._deployments = deployments
        self._budget = Budget(settings, deployments)
        self._changing = asyncio.Lock()
        self._tasks = Tasks("services")
        self._trials: set[str] = set()
        self._going: set[str] = set()  # undeployed, and not yet all gone
        self.on_deployed: list[Callable[[Deployment], Awaitable[None]]] = []
        self.on_undeployed: list[Callable[[str], Awaitable[None]]] = []

    async def restore(self) -> None:
        """All that the store holds, cold, but for those that are to stay warm. Raises Conflict, StoreFailed."""
        kept, cards, failures = await self._store.read(_all)
        for row in kept:
            if row.name in self._deployments:
                raise Conflict(
                    f"{row.name} is already the name of a deployed service; serve the module under another name, such "
                    f"as {row.name}-2=MODULE"
                )
        self._budget.start()
        restored = [self._add(row, cards.get(row.name)) for row in kept]
        for deployment in restored:
            deployment.failure = failures.get(deployment.name)
        self._tasks.spawn(self._load(restored), cancel=True)

    async def deploy(self, row: DeploymentRow, *, temporary: bool = False, limited: bool = False) -> DeploymentRow:
        """A new service; loading goes on afterwards. Its token is made here; without a name it gets one.

        temporary: to try a module out. It is not kept, and is undeployed when it has not been called for a while; if
        the module is being tried already, that one is the answer.
        limited: its owner may have `account_services`.
        Raises InvalidArguments, Conflict, Forbidden, StorageFull, StoreFailed.
        """
        return await self._tasks.finish(self._deploy(row, temporary, limited))

    def is_temporary(self, name: str) -> bool:
        return name in self._trials

    async def update(self, name: str, **changes: Any) -> DeploymentRow:
        """The row with these fields changed. Calls that run end on the old workers, new ones get new workers.

        Raises NotFound, InvalidArguments, Conflict (a `shift` that cannot be), StorageFull, StoreFailed.
        """
        return await self._tasks.finish(self._update(name, changes))

    async def undeploy(self, name: str) -> None:
        """Forget it; its calls end with Cancelled. Raises NotFound, Conflict, StoreFailed."""
        await self._tasks.finish(self._undeploy(name))

    async def rotate_token(self, name: str) -> str:
        """A new token; from now on the old one is nobody's. Raises NotFound, StoreFailed."""
        return (await self.update(name, token=new_token())).token

    def get(self, name: str) -> DeploymentRow:
        """Raises NotFound."""
        row = self._deployments.get(name).row if name in self._deployments else None
        if row is None:
            raise NotFound(f"there is no service called {name[:100]}")
        return row

    def list(self) -> list[DeploymentRow]:
        """All, by name."""
        return sorted(
            (deployment.row for deployment in self._deployments if deployment.row is not None), key=lambda row: row.name
        )

    async def stop(self) -> None:
        """Take no more changes, and finish those that have begun."""
        self._tasks.closed = True
        await self._budget.stop()
        await self._tasks.end()

    # The work. A caller who leaves does not stop it halfway: store and server would differ.

    async def _deploy(self, row: DeploymentRow, temporary: bool, limited: bool) -> DeploymentRow:
        row = replace(row, name=row.name or rows.default_name(row.module), token=new_token())
        await asyncio.to_thread(rows.check, row, None, self._deployments.reserved)
        async with self._changing:
            if temporary and (tried := self._trial_of(row)) is not None:
                return tried
            if row.name in self._deployments:
                raise Conflict(f"there is already a service called {row.name}")
            if row.name in self._going:
                raise Conflict(f"the service {row.name} is still being undeployed; try again")
            limit = self._settings.account_services
            if limited and sum(other.owner == row.owner for other in self.list()) >= limit:
                told = f"you already have the most services that an account may have, {limit} (account_services)"
                raise Forbidden(told)
            if temporary:
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                row = replace(row, created=now, updated=now)
            else:
                row = await self._store.add(add_deployment, row)
            deployment = self._add(row)
            if temporary:
                self._trials.add(row.name)
                self._tasks.spawn(self._end_unused(deployment), cancel=True, awaited=True)
            else:
                for tell in self.on_deployed:
                    await tell(deployment)
        logger.info("%s: deployed %s", row.name, row.module)
        deployment.load_soon()
        return row

    def _trial_of(self, row: DeploymentRow) -> DeploymentRow | None:
        for name in self._trials:
            tried = self._deployments.get(name)
            if tried.row is not None and (tried.row.module, tried.row.python) == (row.module, row.python):
                tried.last_used = time.monotonic()
                return tried.row
        return None

    async def _end_unused(self, deployment: Deployment) -> None:
        """Undeploy what was only tried, once nobody has called it for `try_idle_s`."""
        while self._deployments.by_name.get(deployment.name) is deployment:
            left_s = deployment.last_used + self._settings.try_idle_s - time.monotonic()
            if left_s <= 0 and not deployment.in_use:
                await self.undeploy(deployment.name)
            await asyncio.sleep(max(left_s, 1.0))

    async def _update(self, name: str, changes: dict[str, Any]) -> DeploymentRow:
        async with self._changing:
            if name in self._trials:
                raise Conflict(f"{name} is a trial; deploy the module to get a service that can be changed")
            changed = replace(self.get(name), **changes)
            await asyncio.to_thread(rows.check, changed, changes, self._deployments.reserved)
            _check_shift(changed, self._deployments, self._trials)
            deployment = self._deployments.get(name)
            before = deployment.spec
            row = await self._store.write(_change, name, changes, forget_card=not describes_like(before, changed))
            deployment.change(row)
            if not starts_like(before, deployment.spec):
                logger.info("%s: changed", name)
                deployment.load_soon()
        return row

    async def _undeploy(self, name: str) -> None:
        async with self._changing:
            self.get(name)
            if (service := self._deployments.service_of(name)) is not None:
                back = f"modelport shift {service.name} --back"
                raise Conflict(f"{name} answers calls of {service.name}; take them back first: {back}")
            if name not in self._trials:
                await self._store.write(_delete, name)
            self._trials.discard(name)
            deployment = self._deployments.remove(name)
            self._going.add(name)
        logger.info("%s: undeployed", name)
        await deployment.stop(f"{name} has been undeployed")
        clearing = self._tasks.spawn(self._clear(deployment))
        await asyncio.wait({clearing}, timeout=CLEARING_S)

    async def _clear(self, deployment: Deployment) -> None:
        """What is left of it: jobs, links, files. While the store cannot remove them its name stays taken, or a later
        service would have its links, and lose its own jobs with those of this one at the next start."""
        try:
            for forget in self.on_undeployed:
                await self._forget(deployment.name, forget)
            await deployment.remove_folder()
        finally:
            self._going.discard(deployment.name)

    async def _forget(self, name: str, forget: Callable[[str], Awaitable[None]]) -> None:
        """Tried again while the store is in trouble and the server goes on; whatever else fails keeps nothing from
        being removed after it."""
        while True:
            try:
                return await forget(name)
            except STORE_TROUBLE as error:
                logger.warning("%s: what is left of it cannot be removed yet: %s", name, error.message)
                if self._tasks.closed:
                    return None
            except Exception:
                logger.exception("%s: not all that is left of it could be removed", name)
                return None
            await asyncio.sleep(CLEAR_AGAIN_S)

    def _add(self, row: DeploymentRow, card: Card | None = None) -> Deployment:
        deployment = self._deployments.add(row, card)
        deployment.before_load = self._budget.make_room
        deployment.changed.append(self._changed)
        return deployment

    async def _load(self, restored: Sequence[Deployment]) -> None:
        """A few at once: those that are to stay warm, then those that did not load in the last server."""

        async def load_next(waiting: Iterator[Deployment]) -> None:
            for deployment in waiting:
                await deployment.try_again()  # what goes wrong is kept in its `failure`, and tried again

        warm = (deployment for deployment in restored if deployment.spec.min_workers)
        failed = (deployment for deployment in restored if deployment.failure and not deployment.spec.min_workers)
        for waiting in (warm, failed):
            await asyncio.gather(*(load_next(waiting) for _ in range(LOADING_AT_ONCE)))

    def _changed(self, deployment: Deployment) -> None:
        self._budget.look()
        if not self._tasks.closed and deployment.name not in self._trials:
            self._tasks.spawn(self._keep(deployment))

    async def _keep(self, deployment: Deployment) -> None:
        """The card, so that the next start need not import the module to know it. And why it does not load: the next
        server shows that until the service has been tried again."""
        try:
            async with self._changing:
                if self._deployments.by_name.get(deployment.name) is deployment:
                    failure = deployment.failure if isinstance(deployment.failure, LoadFailed) else None
                    known = {CARD: deployment.card, FAILURE: failure}
                    texts = await asyncio.to_thread(
                        lambda: {
                            kind: json.dumps(value.to_plain()) for kind, value in known.items() if value is not None
                        }
                    )
                    await self._store.write(_write_known, deployment.name, texts)
        except ModelportError as error:
            logger.warning("%s: what is known of it could not be saved: %s", deployment.name, error.message)


def _all(connection: Connection, /) -> tuple[list[DeploymentRow], dict[str, Card], dict[str, ModelportError]]:
    cards = _readable(connection, CARD, Card.from_plain)
    return list_deployments(connection), cards, _readable(connection, FAILURE, from_plain)


def _readable(connection: Connection, prefix: str, read: Callable[[Any], T]) -> dict[str, T]:
    """By name, what is kept under these keys. What cannot be read is of another version: it is found out again."""
    values = {}
    for name, text in get_values(connection, prefix).items():
        try:
            values[name] = read(json.loads(text))
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            logger.warning("the value %s%s of the store cannot be read: %r", prefix, name, error)
    return values


def _write_known(connection: Connection, /, name: str, texts: Mapping[str, str]) -> None:
    for kind in (CARD, FAILURE):
        delete_value(connection, kind + name)
    for kind, text in texts.items():
        set_value(connection, kind + name, text)


def _change(connection: Connection, /, name: str, changes: dict[str, Any], *, forget_card: bool) -> DeploymentRow:
    row = update_deployment(connection, name, **changes)
    if forget_card:
        delete_value(connection, CARD + name)
    return row


def _delete(connection: Connection, /, name: str) -> None:
    delete_deployment(connection, name)
    _write_known(connection, name, {})
    forget_deployment(connection, name)
    delete_links_of(connection, name)
    leave_version(connection, name)


def _check_shift(row: DeploymentRow, deployments: Deployments, trials: Collection[str]) -> None:
    """Whether this row may shift calls so, and be shifted to. Raises Conflict, NotFound, InvalidArguments."""
    service, shift = deployments.service_of(row.name), row.shift
    if row.price is not None and (shift is not None or service is not None):
        raise Conflict(SOLD)
    before = deployments.get(row.name).shift
    if shift is None or shift == before:
        return
    if shift.to == row.name:
        raise InvalidArguments("to: give another service than the one itself", fields={"to": ["the same service"]})
    if service is not None:
        raise Conflict(f"{row.name} is a version of {service.name}; a version has no versions")
    version = deployments.get(shift.to) if shift.to in deployments else None
    if version is None:
        raise NotFound(f"there is no service called {shift.to[:100]}; deploy the new version first")
    if version.row is None or shift.to in trials:
        raise Conflict(f"{shift.to} is not kept when the server ends; deploy the new version as a service")
    if version.row.owner != row.owner:
        raise Conflict(f"{shift.to} and {row.name} have different owners")
    if version.shift is not None:
        raise Conflict(f"{shift.to} shifts calls itself; a version has no versions")
    if version.price is not None:
        raise Conflict(SOLD)
    if version.failure is not None:
        raise Conflict(f"{shift.to} does not load: {version.failure.message}")
