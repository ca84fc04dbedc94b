"""What several callers of one function see. Standard library only: peers measure themselves with it, too."""

import asyncio
import statistics
import time

CALLS = 60


async def alone(call) -> float:
    """Median milliseconds of a call, one after the other. call(seconds): of a model that takes so long."""
    times = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        await call(0.0)
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


async def together(call, seconds: float, callers: int = 8, calls: int = CALLS) -> float:
    """Calls a second, from several callers."""

    async def caller() -> None:
        for _ in range(calls):
            await call(seconds)

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return callers * calls / (time.perf_counter() - begun)


async def measured(call) -> dict[str, float]:
    return {
        "one call after the other, ms": await alone(call),
        "8 callers, a model of 0 ms, calls/s": await together(call, 0.0),
        "8 callers, a model of 50 ms, calls/s": await together(call, 0.05, calls=20),
    }
