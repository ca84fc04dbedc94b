"""What strangers do too often for a line each: it is counted, and told once a window."""

from __future__ import annotations

import asyncio
from logging import Logger

# Addresses that are counted apart; the rest are counted together.
ADDRESSES_LIMIT = 10_000
OTHERS = "other addresses"


class Tally:
    """Counts by address. The log gets one line for each address and window, when the window ends."""

    def __init__(self, logger: Logger, line: str, window_s: float) -> None:
        """line: with places for the number (%d), the address (%s) and the seconds (%g)."""
        self._logger = logger
        self._line = line
        self._window_s = window_s
        self._numbers: dict[str, int] = {}

    def count(self, address: str) -> int:
        """How many there are now in this window, with this one."""
        if address not in self._numbers and len(self._numbers) >= ADDRESSES_LIMIT:
            address = OTHERS
        number = self._numbers[address] = self._numbers.get(address, 0) + 1
        if number == 1:
            asyncio.get_running_loop().call_later(self._window_s, self._tell, address)
        return number

    def _tell(self, address: str) -> None:
        if number := self._numbers.pop(address, 0):
            self._logger.warning(self._line, number, address, self._window_s)

    def close(self) -> None:
        """Tell what has not been told."""
        for address in list(self._numbers):
            self._tell(address)
