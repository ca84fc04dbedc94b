"""`AsyncClient`: all that a server offers, for programs and for the commands. docs/client.md shows it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from modelport.client.calls import given_of
from modelport.client.jobs import Document, failure_of
from modelport.client.models import Models
from modelport.client.where import Where


class AsyncClient(Models):
    """A server, by its address; without one, the server that runs on this machine.

    token: its owner's, or that of the service that is called; without one, BEARER_TOKEN, or the running server's own.
    timeout_s: what calls and trainings may take. Methods raise the errors of `modelport.errors`.
    """

    def __init__(self, url: str | Where = "", token: str = "", *, timeout_s: float | None = None) -> None:
        where = url if isinstance(url, Where) else Where.find({"url": url, "token": token or None})
        super().__init__(where, timeout_s)

    # Calls

    async def predict(self, name: str, /, **arguments: Any) -> Any:
        """What the model answers: JSON as Python's values, text as str, anything else as bytes.

        arguments: the model's own; a file by its path, its bytes, or an open file.
        """
        return await self._call(name, "predict", arguments)

    async def stream(self, name: str, /, **arguments: Any) -> AsyncIterator[Any]:
        """Each value of a model whose predict is a generator, as it comes. Leaving the loop closes the generator."""
        model = await self.model(name)
        async with aclosing(model.stream(given_of(model.card, "predict", arguments))) as values:
            async for value in values:
                yield json.loads(value)

    async def train(self, name: str, /, **arguments: Any) -> Any:
        """What the training gave. Whoever stops waiting cancels it; `submit_training` does not."""
        return await self._call(name, "train", arguments)

    async def _call(self, name: str, method: str, arguments: dict[str, Any]) -> Any:
        model = await self.model(name)
        async with model.ask(method, given_of(model.card, method, arguments)) as answer:
            return await answer.value()

    async def submit(self, name: str, /, **arguments: Any) -> Document:
        """The same as a job, which the server keeps and runs whatever becomes of this program; its document."""
        return await self._submit(name, "predict", arguments)

    async def submit_training(self, name: str, /, **arguments: Any) -> Document:
        return await self._submit(name, "train", arguments)

    async def _submit(self, name: str, method: str, arguments: dict[str, Any]) -> Document:
        model = await self.model(name)
        return await model.submit(method, given_of(model.card, method, arguments))

    async def result(self, job: str | Document) -> Any:
        """Wait for a job; what it gave, as `predict` gives it. Raises what it has failed with."""
        document = await self.wait(job)
        if (failure := failure_of(document)) is not None:
            raise failure
        async with self.open_result(document) as answer:
            return await answer.value()

    # Services, for the owner

    async def deployments(self, *, everything: bool = False) -> list[Document]:
        """The services; with `everything` also the modules named on the server's command line."""
        return list(await self.json_of("GET", "/deployments" + ("?all=1" if everything else "")))

    async def deploy(self, /, module: str, **options: Any) -> Document:
        """options: name, title, min_workers, … as `POST /deployments` has them (docs/deployments.md)."""
        return await self._document("POST", "/deployments", json={**options, "module": module})

    async def deployment(self, name: str) -> Document:
        return await self._document("GET", _deployment(name))

    async def undeploy(self, name: str) -> None:
        await self.json_of("DELETE", _deployment(name))

    async def rotate_token(self, name: str) -> str:
        """A new token for a service; the old one opens nothing any more."""
        return str((await self._document("POST", f"{_deployment(name)}/token"))["token"])

    async def shift(self, name: str, to: str, share: int = 100) -> Document:
        """From now on, let the service `to` answer `share` per cent of the calls of `name`."""
        return await self._document("POST", f"{_deployment(name)}/shift", json={"to": to, "share": share})

    async def shift_back(self, name: str) -> Document:
        return await self._document("DELETE", f"{_deployment(name)}/shift")

    async def share(self, /, name: str, **options: Any) -> Document:
        """A new link, by which somebody may call a service; its `token` is shown only now.

        options: until, calls_limit, note, as `POST /deployments/<name>/links` has them (docs/sharing.md).
        """
        return await self._document("POST", f"{_deployment(name)}/links", json=options)

    async def links(self, name: str) -> list[Document]:
        return list(await self.json_of("GET", f"{_deployment(name)}/links"))

    async def revoke_link(self, name: str, id: str) -> None:
        await self.json_of("DELETE", f"{_deployment(name)}/links/{quote(id, safe='')}")

    async def log(self, name: str, *, follow: bool = False, records: bool = False) -> AsyncIterator[bytes]:
        """What the module of a service has printed; follow: and will print. records: as JSON Lines, with times."""
        options = {name: "1" for name, asked in (("follow", follow), ("records", records)) if asked}
        async for chunk in self.chunks(f"{_deployment(name)}/log" + (f"?{urlencode(options)}" if options else "")):
            yield chunk

    async def dashboard(self) -> str:
        """A link that signs a browser in. Raises ModelportError where there is no dashboard."""
        return str((await self._document("POST", "/ui/code"))["url"])

    # Where modules come from, for the owner

    async def sources(self) -> list[Document]:
        """Those that were added while the server ran."""
        return list(await self.json_of("GET", "/modules/sources"))

    async def add_source(self, address: str, kind: str = "") -> Document:
        """A folder or .py file on the server, a Git repository, or a catalogue; one that is there is fetched again.

        kind: folder, git or catalogue, where the address does not say it.
        """
        return await self._document("POST", "/modules/sources", json={"address": address, "kind": kind or None})

    async def remove_source(self, id: str) -> None:
        await self.json_of("DELETE", f"/modules/sources/{quote(id, safe='')}")

    # Files of a service's bucket, for the owner

    async def files(self, name: str, prefix: str = "") -> list[Document]:
        """What lies in the folder `prefix`, such as outputs/: each with key, size_bytes, etag, modified."""
        documents: list[Document] = []
        path = f"/files/{quote(name, safe='')}?prefix={quote(prefix)}"
        while path:
            page = await self._document("GET", path)
            documents += page["files"]
            path = (page["next"] or "").removeprefix(self.where.path)
        return documents

    async def upload(self, name: str, key: str, content: bytes | Path) -> Document:
        """Keep a file; its document, with the `job` that it has led to. content: bytes, or the path of a file."""
        if isinstance(content, bytes):
            return await self._document("PUT", _file(name, key), data=content)
        with content.open("rb") as file:
            return await self._document("PUT", _file(name, key), data=file)

    async def download(self, name: str, key: str) -> bytes:
        async with self.request("GET", _file(name, key)) as response:
            return await response.read()

    async def delete(self, name: str, key: str) -> None:
        await self.json_of("DELETE", _file(name, key))


def _deployment(name: str) -> str:
    return f"/deployments/{quote(name, safe='')}"


def _file(name: str, key: str) -> str:
    return f"/files/{quote(name, safe='')}/{quote(key)}"
