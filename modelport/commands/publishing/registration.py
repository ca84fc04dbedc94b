"""What Nevermined is told of a deployment: an agent, and the plan by which its calls are bought."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from modelport.catalogue.about import About
from modelport.contract.card import Card
from modelport.describe.snippets import curl_line

AGENTS = "/api/v1/protocol/agents"
ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
NOBODY = "0x" + 40 * "0"
# All money is in millionths, as text: the backend's numbers end at 2**53.
UNIT = 10**6
# A subscriber of the plan redeems its credits; the other types are for the plan's owner and for roles.
REDEEMED_BY_SUBSCRIBER = 4


@dataclass(frozen=True)
class Offer:
    """What is bought. price: in currency; 0: free. duration_s: 0: until the credits are used up.

    plan_ids: of plans that exist already; then the rest says nothing.
    """

    price: Decimal = Decimal(0)
    currency: str = "USD"
    receiver: str = ""
    credits: int = 100
    per_call: int = 1
    duration_s: int = 0
    plan_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
    """A deployment as outsiders know it. public: the server's address, with its base path.

    sold: buyers pay here, by x402; else Nevermined's proxy calls it with its token.
    """

    name: str
    token: str
    public: str
    about: About
    card: Card
    allow_list: bool = False
    sold: bool = False

    @property
    def endpoint(self) -> str:
        return f"{self.public}/{quote(self.name, safe='')}"

    @property
    def document(self) -> str:
        return f"{self.public}/openapi.json"


def agent(service: Service) -> dict[str, Any]:
    """The two objects of an agent. Empty texts are left out."""
    about = service.about
    facts = {
        "name": about.title or service.name,
        "description": about.description or about.summary,
        "author": about.author,
        "license": about.license,
        "tags": list(dict.fromkeys([*about.tags, *about.tasks])),
        "integration": _integration(service),
        "sampleLink": f"{service.public}/docs",
    }
    interface: dict[str, Any] = {
        "agentDefinitionUrl": service.document,
        **({"authType": "none"} if service.sold else {"authType": "bearer", "token": service.token}),
        "openEndpoints": [f"{service.public}{path}" for path in ("/openapi.json", "/docs", "/health")],
    }
    if service.allow_list:
        # The backend reads {"POST": address}. What payments-py sends, {"verb": …, "url": …}, matches no call.
        paths = (service.endpoint, f"{service.endpoint}/async")
        interface["endpoints"] = [{method: path} for path in paths for method in ("GET", "POST")]
    return {
        "metadataAttributes": {name: value for name, value in facts.items() if value},
        "agentApiAttributes": interface,
    }


def _integration(service: Service) -> str:
    line = curl_line(service.card, service.endpoint, token=not service.sold)
    if service.sold:
        line = line.replace("curl ", 'curl -H "payment-signature: $X402_ACCESS_TOKEN" ', 1)
    return f"Send the arguments of `{service.name}` as JSON or as a form:\n\n```sh\n{line}\n```\n"


def plan(name: str, offer: Offer) -> dict[str, Any]:
    timed = offer.duration_s > 0
    title = f"{name}, {offer.duration_s} s" if timed else f"{name}, {offer.credits} credits"
    return {
        "metadataAttributes": {"name": title, "isTrialPlan": False},
        "priceConfig": _price(offer),
        "creditsConfig": {
            "isRedemptionAmountFixed": not timed,
            "redemptionType": REDEEMED_BY_SUBSCRIBER,
            "onchainMirror": False,
            "durationSecs": str(offer.duration_s),
            "amount": "1" if timed else str(offer.credits),
            "minAmount": str(offer.per_call),
            "maxAmount": str(offer.per_call),
        },
        "accessLimit": "time" if timed else "credits",
    }


def _price(offer: Offer) -> dict[str, Any]:
    addresses = ("tokenAddress", "contractAddress", "feeController", "externalPriceAddress", "templateAddress")
    nobody = dict.fromkeys(addresses, NOBODY)
    if not offer.price:
        return {"isCrypto": True, "amounts": [], "receivers": [], **nobody}
    amount = str(int(offer.price * UNIT))
    paid = {"currency": offer.currency, "amounts": [amount], "receivers": [offer.receiver]}
    return {"isCrypto": False, **paid, **nobody}


def request(service: Service, offer: Offer, agent_id: str = "") -> tuple[str, str, dict[str, Any]]:
    """(method, path, body). agent_id: of an earlier registration, which is updated; its plan stays as it is."""
    described = agent(service)
    if agent_id:
        return "PUT", f"{AGENTS}/{quote(agent_id, safe='')}", described
    if offer.plan_ids:
        return "POST", AGENTS, {**described, "plans": list(offer.plan_ids)}
    title = described["metadataAttributes"]["name"]
    return "POST", f"{AGENTS}/plans", {"plan": plan(title, offer), "agent": described}
