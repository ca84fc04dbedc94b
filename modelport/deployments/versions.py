"""Versions: what may be shifted to what. Which version answers a call, `Deployments.version` decides."""

from __future__ import annotations

from collections.abc import Collection

from modelport.deployments.deployments import Deployments
from modelport.errors import Conflict, InvalidArguments, NotFound
from modelport.store.deployments import DeploymentRow

SOLD = "calls of a service with a price cannot be shifted, nor to one"


def check_shift(row: DeploymentRow, deployments: Deployments, trials: Collection[str]) -> None:
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
