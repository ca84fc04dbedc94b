"""The conformance suite of front ends: run on a server with every front end that is installed."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

import msgspec
import pytest

from modelport import extensions
from modelport.deployments.deployments import DeploymentRow
from modelport.extending import Access, Frontend, Route, Settings
from modelport.http.mount import claimed
from modelport.server import Server
from modelport.settings import table
from modelport.testing.bench import PATIENCE_S
from modelport.testing.executors import MODULE
from modelport.testing.settings import check_setting

TOKEN = "the-token-of-the-conformance-suite"  # noqa: S105
MODEL = "conforming"
SERVICE = "another"
LIMIT_BYTES = 10_000
SEGMENT = re.compile(r"[a-z0-9][-a-z0-9._]*")
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
PARAMETER = re.compile(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}")


class Serving:
    """A server in a thread of its own, with one module of the command line and one service."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        usual = {"listen_port": 0, "s3_port": 0, "home": str(folder), "token": TOKEN, "guess_delay_s": 0.0}
        self._settings = Settings(**{**usual, **settings})
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started: Future[Server] = Future()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        try:
            self.server = self._started.result(PATIENCE_S)
            body = msgspec.json.encode({"name": SERVICE, "module": str(MODULE)})
            status, answer, _ = self.ask("POST", "/deployments", body=body)
            assert status == 201, answer
            self.service_token = msgspec.json.decode(answer)["token"]
        except BaseException:
            self.close()
            raise

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        server = Server(self._settings, [DeploymentRow(name=MODEL, module=str(MODULE))])
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            await server.start(warm_first=True)
            self._started.set_result(server)
            await self._stop.wait()
        finally:
            await server.stop(0)

    def close(self) -> None:
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the server does not stop"

    def ask(
        self, method: str, path: str, *, token: str = TOKEN, body: bytes | None = None, type: str = "application/json"
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """(status, body, headers) of one request."""
        place = urlsplit(self.server.url)
        connection = http.client.HTTPConnection(str(place.hostname), cast(int, place.port), timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Content-Type": type} if body is not None else {}
        try:
            connection.request(method, place.path + path, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()

    def ask_raw(self, data: bytes) -> bytes:
        """What is said to these bytes until the connection is closed."""
        place = urlsplit(self.server.url)
        with socket.create_connection((str(place.hostname), cast(int, place.port)), PATIENCE_S) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))


class FrontendDeclarations:
    """What holds for every front end, also for those of modelport itself.

    name: of its entry point, which must be installed.
    """

    name: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def serving(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
        serving = Serving(tmp_path_factory.mktemp("home"), json_limit_bytes=LIMIT_BYTES, client_max_size=LIMIT_BYTES)
        yield serving
        serving.close()

    @property
    def cls(self) -> Any:
        return extensions.load(extensions.FRONTENDS, self.name)

    def made(self, serving: Serving) -> Any:
        """The one of the server."""
        assert serving.server.gateway is not None
        return serving.server.gateway.frontends[self.name]

    def test_its_segments_are_nobody_elses(self) -> None:
        every = extensions.registered(extensions.FRONTENDS)
        claimed({name: extensions.load(extensions.FRONTENDS, name) for name in every})

    def test_its_settings_are_in_the_table_with_help_and_unit(self) -> None:
        names = {setting.name for setting in table()}
        declared = getattr(self.cls, "settings", ())
        assert {setting.name for setting in declared} <= names
        for setting in declared:
            check_setting(setting)

    def test_a_service_may_not_have_the_name_of_a_segment(self, serving: Serving) -> None:
        for segment in filter(SEGMENT.fullmatch, self.cls.segments):
            body = msgspec.json.encode({"name": segment, "module": str(MODULE)})
            status, answer, _ = serving.ask("POST", "/deployments", body=body)
            assert status == 422, answer

    def test_its_operations_are_in_the_document(self, serving: Serving) -> None:
        status, answer, _ = serving.ask("GET", "/openapi.json")
        assert status == 200
        for path, item in msgspec.json.decode(answer)["paths"].items():
            if path.split("/")[1] in self.cls.segments:
                for method, operation in item.items():
                    if method not in METHODS:
                        continue
                    assert operation.get("responses"), f"{method} {path} says nothing of its responses"

    def test_its_greeting_leads_to_its_own_paths(self, serving: Serving) -> None:
        for row in self.made(serving).greeting():
            assert row.path.split("/")[1] in (*self.cls.segments, *self.cls.shares), row
            assert row.text and not row.text.endswith("."), row


class FrontendConformance(FrontendDeclarations):
    """Subclass it, and name the front end.

    open_routes: those with `Access.ANYONE`, such as `("GET /words/health",)`: what is open is said twice.
    """

    open_routes: ClassVar[tuple[str, ...]] = ()

    def routes(self, serving: Serving) -> list[Route]:
        return list(self.made(serving).routes())

    def test_each_route_is_in_the_document(self, serving: Serving) -> None:
        _, answer, _ = serving.ask("GET", "/openapi.json")
        paths = msgspec.json.decode(answer)["paths"]
        described = {(method.upper(), path) for path, item in paths.items() for method in item}
        for route in self.routes(serving):
            assert (route.method, PARAMETER.sub(r"{\1}", route.path)) in described, route

    def test_it_is_a_front_end_with_segments(self) -> None:
        assert issubclass(self.cls, Frontend)
        assert all(map(SEGMENT.fullmatch, self.cls.segments)), self.cls.segments

    # Who may

    def test_strangers_are_refused_at_every_route(self, serving: Serving) -> None:
        for route in self.routes(serving):
            if f"{route.method} {route.path}" in self.open_routes:
                assert route.access is Access.ANYONE
                continue
            assert route.access is not Access.ANYONE, f"{route.method} {route.path} is open, and not in open_routes"
            for token in ("", "wrong"):
                for name in (MODEL, SERVICE, "nobody"):
                    status, answer, _ = serving.ask(route.method, path_of(route, name), token=token)
                    assert status == 401, (route, name, status, answer)

    def test_a_services_token_opens_only_what_is_its_own(self, serving: Serving) -> None:
        for route in self.routes(serving):
            closed = route.access is Access.OWNER or (route.access is Access.CALLER and "{name}" in route.path)
            if closed:
                status, answer, _ = serving.ask(route.method, path_of(route, MODEL), token=serving.service_token)
                assert status == 401, (route, status, answer)

    def test_the_owner_is_told_of_a_service_that_does_not_exist(self, serving: Serving) -> None:
        for route in self.routes(serving):
            if route.access is Access.CALLER and "{name}" in route.path:
                status, answer, _ = serving.ask(route.method, path_of(route, "nobody"))
                assert status == 404, (route, status, answer)

    # What may come

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\x00", b"[" * 5000, b'{"a": NaN}', b"null"])
    @pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data", "image/png", "x"])
    def test_no_body_makes_it_fail(self, serving: Serving, body: bytes, kind: str) -> None:
        for route in self.routes(serving):
            status, answer, _ = serving.ask(route.method, path_of(route, MODEL), body=body, type=kind)
            assert status < 500 or status in (501, 503), (route, status, answer)

    def test_a_body_is_limited(self, serving: Serving) -> None:
        """One that says its length, and one that does not."""
        for route in self.routes(serving):
            if route.method in ("POST", "PUT", "PATCH"):
                status, answer, _ = serving.ask(route.method, path_of(route, MODEL), body=b"1" * (LIMIT_BYTES + 1))
                assert 400 <= status < 500, (route, status, answer)
                head = f"{route.method} {path_of(route, MODEL)} HTTP/1.1\r\nHost: localhost\r\n"
                head += f"Authorization: Bearer {TOKEN}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                chunk = b"%x\r\n%b\r\n" % (LIMIT_BYTES, b"1" * LIMIT_BYTES)
                said = serving.ask_raw(head.encode() + 3 * chunk + b"0\r\n\r\n")
                assert re.match(rb"HTTP/1.1 4\d\d ", said), (route, said[:200])


def path_of(route: Route, name: str) -> str:
    """With the service `name`, and something for every other parameter."""
    return PARAMETER.sub(lambda match: name if match[1] == "name" else "1", route.path)
