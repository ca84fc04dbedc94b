"""`Client`: the methods of `AsyncClient` for programs without an event loop."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from modelport.client.aio import AsyncClient

P = ParamSpec("P")
T = TypeVar("T")


class _Waiting(Generic[P, T]):
    """A method that waits for the same method of the other client."""

    def __init__(self, method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]) -> None:
        self._method = method

    @overload
    def __get__(self, client: None, owner: type[Client]) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type[Client]) -> Callable[P, T]: ...
    def __get__(self, client: Client | None, owner: type[Client]) -> Self | Callable[P, T]:
        if client is None:
            return self

        @functools.wraps(self._method)
        def wait(*arguments: P.args, **named: P.kwargs) -> T:
            return client.run(self._method(client.asynchronous, *arguments, **named))

        return wait


class _Stepping(Generic[P, T]):
    """The same for a method that yields."""

    def __init__(self, method: Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]) -> None:
        self._method = method

    @overload
    def __get__(self, client: None, owner: type[Client]) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type[Client]) -> Callable[P, Iterator[T]]: ...
    def __get__(self, client: Client | None, owner: type[Client]) -> Self | Callable[P, Iterator[T]]:
        if client is None:
            return self

        @functools.wraps(self._method)
        def steps(*arguments: P.args, **named: P.kwargs) -> Iterator[T]:
            iterator = self._method(client.asynchronous, *arguments, **named)
            while (step := client.run(_next(iterator))) is not None:
                yield step[0]

        return steps


async def _next(iterator: AsyncIterator[T]) -> tuple[T] | None:
    """None at the end."""
    try:
        return (await anext(iterator),)
    except StopAsyncIteration:
        return None


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

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self.run(self.asynchronous.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    card = _Waiting(AsyncClient.card)
    predict = _Waiting(AsyncClient.predict)
    train = _Waiting(AsyncClient.train)
    submit = _Waiting(AsyncClient.submit)
    submit_training = _Waiting(AsyncClient.submit_training)

    jobs = _Waiting(AsyncClient.jobs)
    job = _Waiting(AsyncClient.job)
    wait = _Waiting(AsyncClient.wait)
    follow = _Stepping(AsyncClient.follow)
    result = _Waiting(AsyncClient.result)
    job_log = _Stepping(AsyncClient.job_log)
    again = _Waiting(AsyncClient.again)
    cancel = _Waiting(AsyncClient.cancel)
    remove = _Waiting(AsyncClient.remove)

    deployments = _Waiting(AsyncClient.deployments)
    deploy = _Waiting(AsyncClient.deploy)
    deployment = _Waiting(AsyncClient.deployment)
    undeploy = _Waiting(AsyncClient.undeploy)
    rotate_token = _Waiting(AsyncClient.rotate_token)
    log = _Stepping(AsyncClient.log)
    dashboard = _Waiting(AsyncClient.dashboard)

    files = _Waiting(AsyncClient.files)
    upload = _Waiting(AsyncClient.upload)
    download = _Waiting(AsyncClient.download)
    delete = _Waiting(AsyncClient.delete)
