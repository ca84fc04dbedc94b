"""`Client`: the methods of `AsyncClient` for programs without an event loop."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from modelport.client.aio import AsyncClient

P = ParamSpec("P")
T = TypeVar("T")


def _waiting(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """A method that waits for the same method of the other client."""

    @functools.wraps(method)
    def wait(client: Client, /, *arguments: P.args, **named: P.kwargs) -> T:
        return client.run(method(client.asynchronous, *arguments, **named))

    return wait


def _stepping(
    method: Callable[Concatenate[AsyncClient, P], AsyncIterator[T]],
) -> Callable[Concatenate[Client, P], Iterator[T]]:
    """The same for a method that yields."""

    @functools.wraps(method)
    def steps(client: Client, /, *arguments: P.args, **named: P.kwargs) -> Iterator[T]:
        iterator = method(client.asynchronous, *arguments, **named)
        try:
            while (step := client.run(_next(iterator))) is not None:
                yield step[0]
        finally:
            if isinstance(iterator, AsyncGenerator) and not client.closed:
                client.run(_close(iterator))  # whoever leaves the loop leaves the server, too

    return steps


async def _next(iterator: AsyncIterator[T]) -> tuple[T] | None:
    """None at the end."""
    try:
        return (await anext(iterator),)
    except StopAsyncIteration:
        return None


async def _close(iterator: AsyncGenerator[Any]) -> None:
    await iterator.aclose()


class Client:
    """See `AsyncClient`. Its requests run in an event loop in a thread, so that it works in notebooks, too."""

    def __init__(self, url: str = "", token: str = "", *, timeout_s: float | None = None) -> None:
        self.asynchronous = AsyncClient(url, token, timeout_s=timeout_s)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modelport.client", daemon=True)
        self._thread.start()
        self.run(self.asynchronous.__aenter__())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine in the client's loop; Ctrl-C cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def close(self) -> None:
        if self.closed:
            return
        self.run(self.asynchronous.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    card = _waiting(AsyncClient.card)
    predict = _waiting(AsyncClient.predict)
    stream = _stepping(AsyncClient.stream)
    train = _waiting(AsyncClient.train)
    submit = _waiting(AsyncClient.submit)
    submit_training = _waiting(AsyncClient.submit_training)

    jobs = _waiting(AsyncClient.jobs)
    job = _waiting(AsyncClient.job)
    wait = _waiting(AsyncClient.wait)
    follow = _stepping(AsyncClient.follow)
    result = _waiting(AsyncClient.result)
    job_log = _stepping(AsyncClient.job_log)
    again = _waiting(AsyncClient.again)
    cancel = _waiting(AsyncClient.cancel)
    remove = _waiting(AsyncClient.remove)

    deployments = _waiting(AsyncClient.deployments)
    deploy = _waiting(AsyncClient.deploy)
    deployment = _waiting(AsyncClient.deployment)
    undeploy = _waiting(AsyncClient.undeploy)
    rotate_token = _waiting(AsyncClient.rotate_token)
    shift = _waiting(AsyncClient.shift)
    shift_back = _waiting(AsyncClient.shift_back)
    share = _waiting(AsyncClient.share)
    links = _waiting(AsyncClient.links)
    revoke_link = _waiting(AsyncClient.revoke_link)
    log = _stepping(AsyncClient.log)
    dashboard = _waiting(AsyncClient.dashboard)

    sources = _waiting(AsyncClient.sources)
    add_source = _waiting(AsyncClient.add_source)
    remove_source = _waiting(AsyncClient.remove_source)

    files = _waiting(AsyncClient.files)
    upload = _waiting(AsyncClient.upload)
    download = _waiting(AsyncClient.download)
    delete = _waiting(AsyncClient.delete)
