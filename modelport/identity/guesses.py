"""Wrong secrets, however they are presented: counted by client address, answered ever more slowly, and logged.

A right secret is never held back: it is checked first, and only what turns out to be wrong comes here. So others'
mistakes do not shut out anybody, even behind the same address. The price is that guessing is slowed and shown, not
prevented. What prevents it is the length of the secret.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import Counter

from modelport.errors import Overloaded
from modelport.observe.tally import Tally
from modelport.settings import Settings

LINE = "%d wrong tokens, passwords, codes or signatures came from %s within %g s"
# One customer has all addresses of such a network.
IPV6_PREFIX = 64
DOUBLINGS_LIMIT = 30

logger = logging.getLogger(__name__)


class Guesses:
    """One for all ports. `close` it at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tally = Tally(logger, LINE, settings.guess_window_s)
        self._held: Counter[str] = Counter()

    async def wrong(self, address: str) -> None:
        """Count a wrong secret, and return when its refusal may be sent.

        Raises Overloaded (429) at once where too many refusals are being held back already.
        """
        source = _source(address)
        delay_s = self._delay_s(self._tally.count(source))
        if not delay_s:
            return
        settings = self._settings
        if self._held[source] >= settings.guess_held or self._held.total() >= settings.guess_held_total:
            raise Overloaded(
                "Too many wrong tokens, passwords or signatures. Try again later.",
                status=429,
                retry_after_s=settings.guess_delay_limit_s,
            )
        self._held[source] += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._held[source] -= 1
            if not self._held[source]:
                del self._held[source]

    def _delay_s(self, number: int) -> float:
        """Nothing for the first ones of a window, then twice as long each time, up to the limit."""
        doublings = number - self._settings.guess_free - 1
        if doublings < 0:
            return 0.0
        factor = 1 << min(doublings, DOUBLINGS_LIMIT)
        return min(self._settings.guess_delay_limit_s, self._settings.guess_delay_s * factor)

    def close(self) -> None:
        self._tally.close()


def _source(address: str) -> str:
    """By what an address is counted: an IPv6 address by its network."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed.packed, IPV6_PREFIX), strict=False))
