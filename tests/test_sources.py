"""Sources of modules that the owner adds: folders, files, Git repositories, catalogues."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from yarl import URL

from modelport.catalogue import fetching, listing
from modelport.catalogue.sources import name_of
from modelport.errors import InvalidArguments
from tests.environments import environment
from tests.house import Answer, House, children, open_house, wait_until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]

SOURCE = "def get_metadata(): return {'summary': 'says hello'}\ndef predict(): return 'hello'\n"
# As the platform's API answers it: without descriptions and links, and with empty dates.
LISTED = {
    "id": "far-away",
    "title": "Far away",
    "summary": "A module elsewhere",
    "dates": {"created": "", "updated": ""},
}
LINKED = {**LISTED, "id": "linked", "title": "Linked", "links": {"source_code": "https://github.com/ai4os-hub/linked"}}


class Owner:
    def __init__(self, house: House) -> None:
        self.house = house

    async def ask(self, method: str, path: str, document: Any = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.house.gateway.owner.token}"}
        return await self.house.ask(method, path, headers=headers, json=document)

    async def add(self, address: str, kind: str | None = None) -> Answer:
        return await self.ask("POST", "/modules/sources", {"address": address, "kind": kind})

    async def modules(self) -> dict[str, Any]:
        return {module["name"]: module for module in (await self.ask("GET", "/modules")).json()["modules"]}

    async def problems(self) -> list[str]:
        return list((await self.ask("GET", "/modules")).json()["problems"])

    async def call(self, module: str, name: str) -> Any:
        assert (await self.ask("POST", "/deployments", {"module": module, "name": name})).status == 201
        return (await self.ask("POST", f"/{name}")).json()["result"]


@contextlib.asynccontextmanager
async def serving(routes: dict[str, Any]) -> AsyncIterator[str]:
    """A server of others: path → a handler, or (status, headers, text)."""

    async def answer(request: web.Request) -> web.StreamResponse:
        said = next(value for path, value in routes.items() if request.path.startswith(path))
        if callable(said):
            response: web.StreamResponse = await said(request)
            return response
        status, headers, text = said
        return web.Response(status=status, headers=headers, text=text)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def git_backend(root: Path) -> Any:
    """A handler: git's own server, for the repositories in a folder."""

    async def answer(request: web.Request) -> web.StreamResponse:
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec("git", "http-backend", stdin=pipe, stdout=pipe, env=environment)
        out, _ = await process.communicate(await request.read())
        head, _, body = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=body)

    return answer


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def head(folder: Path) -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, source: str, tag: str) -> None:
    (folder / "api.py").write_text(source)
    git(folder, "add", ".")
    git(folder, "commit", "-m", "A module")
    git(folder, "tag", tag)


async def test_a_file_is_added_found_and_deployed_and_stays_over_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "greeter.py"
    file.write_text(SOURCE)
    async with open_house(tmp_path / "house", {}) as house:
        owner = Owner(house)
        added = (await owner.add(str(file))).json()
        assert (added["kind"], added["path"]) == ("folder", str(file))
    async with open_house(tmp_path / "house", {}) as house:
        owner = Owner(house)
        module = (await owner.modules())["greeter"]
        assert (module["origin"], module["module"]) == (str(file), str(file))
        assert await owner.call(module["module"], "hello") == "hello"
        assert (await owner.ask("DELETE", f"/modules/sources/{added['id']}")).status == 204
        assert "greeter" not in await owner.modules()
        assert (await owner.ask("DELETE", f"/modules/sources/{added['id']}")).status == 404
    assert file.exists()


async def test_a_repository_is_cloned_deployed_and_fetched_again(tmp_path: Path) -> None:
    repository = tmp_path / "work"
    repository.mkdir()
    (tmp_path / "repositories").mkdir()
    git(repository, "init", f"--separate-git-dir={tmp_path / 'repositories' / 'loud.git'}")
    commit(repository, SOURCE, "v1.9")
    commit(repository, SOURCE + "# changed\n", "v1.10")
    async with (
        serving({"/": git_backend(tmp_path / "repositories")}) as server,
        open_house(tmp_path / "house", {}) as house,
    ):
        owner = Owner(house)
        url = f"{server}/loud.git"
        answer = await owner.add(url)
        assert answer.status == 200, answer.text
        added = answer.json()
        assert (added["kind"], added["versions"]) == ("git", ["v1.10", "v1.9"])
        [module] = [row for row in (await owner.modules()).values() if row["origin"] == url]
        assert module["versions"] == ["v1.10", "v1.9"]
        provenance = (await owner.ask("GET", f"/modules/{module['id']}/metadata")).json()["provenance"]
        assert (provenance["source"], provenance["commit"]) == (url, head(repository))
        assert await owner.call(module["module"], "loud") == "hello"
        refused = await owner.ask("DELETE", f"/modules/sources/{added['id']}")
        assert refused.status == 409 and "loud runs from this source" in refused.json()["message"]
        # A catalogue may know it by another name, and its repository by another form of the address.
        entry = {**LISTED, "links": {"source_code": f"{server}/loud"}}
        (tmp_path / "list.json").write_text(json.dumps([entry, LINKED]))
        assert (await owner.add(str(tmp_path / "list.json"))).status == 200
        assert {"linked"} == {"linked", "far-away"} & set(await owner.modules())
        commit(repository, SOURCE.replace("hello", "good day"), "v2")
        assert (await owner.add(url)).json()["versions"][0] == "v2"
        assert "good day" in (Path(module["module"]) / "api.py").read_text()
        assert (await owner.ask("DELETE", "/deployments/loud")).status == 204
        assert (await owner.ask("DELETE", f"/modules/sources/{added['id']}")).status == 204
        assert not Path(module["module"]).exists()


async def test_a_server_that_was_killed_while_it_fetched_a_repository_again_still_has_its_code(tmp_path: Path) -> None:
    """It is killed between the two renames; and what it was killed at before belongs to no source."""
    repository = tmp_path / "work"
    repository.mkdir()
    (tmp_path / "repositories").mkdir()
    git(repository, "init", f"--separate-git-dir={tmp_path / 'repositories' / 'loud.git'}")
    commit(repository, SOURCE, "v1")
    async with (
        serving({"/": git_backend(tmp_path / "repositories")}) as server,
        open_house(tmp_path / "house", {}) as house,
    ):
        added = (await Owner(house).add(f"{server}/loud.git")).json()
    kept = Path(added["path"])
    kept.rename(kept.with_name(".old-1234"))
    lost = kept.parents[1] / "0123456789ab" / ".new-1234"
    lost.mkdir(parents=True)
    async with open_house(tmp_path / "house", {}) as house:
        [module] = [row for row in (await Owner(house).modules()).values() if row["origin"] == added["address"]]
        assert await Owner(house).call(module["module"], "loud") == "hello"
    assert not lost.parent.exists()


async def test_a_catalogue_is_there_without_its_server(tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    base, more = "/v1/catalog/modules", {"description": "All of it", "links": {"documentation": "https://example.org"}}
    routes: dict[str, Any] = {
        f"{base}/detail": (200, {}, json.dumps([LISTED, LINKED, {**LISTED, "id": "lost"}])),
        f"{base}/far-away/metadata": (200, {}, json.dumps({**LISTED, **more})),
        f"{base}/lost/metadata": (404, {}, ""),
    }
    async with serving(routes) as server, open_house(tmp_path / "house", {}) as house:
        assert (await Owner(house).add(f"{server}/v1/catalog/modules/detail")).json()["kind"] == "catalogue"
    async with open_house(tmp_path / "house", {}) as house:
        owner = Owner(house)
        modules = await owner.modules()
        listed = modules["far-away"]
        assert (listed["title"], listed["module"], listed["problems"]) == ("Far away", "", [])
        # The list has neither; a document of each module does.
        assert (listed["description"], listed["links"][0]["url"]) == ("All of it", "https://example.org")
        assert modules["lost"]["description"] == ""
        assert listed["origin"] == f"{server}/v1/catalog/modules/detail"
        for method, path in (("GET", "card"), ("POST", "check")):
            refused = await owner.ask(method, f"/modules/linked/{path}")
            assert refused.status == 409
            assert "add its repository, https://github.com/ai4os-hub/linked" in refused.json()["message"]
        await owner.ask("POST", "/modules/refresh")
        [problem] = await owner.problems()
        assert "cannot be fetched" in problem and "the copy of 20" in problem
        assert "far-away" in await owner.modules()
        # What is here is not listed a second time.
        (tmp_path / "linked" / "api.py").write_text(SOURCE)
        await owner.add(str(tmp_path / "linked"))
        assert (await owner.modules())["linked"]["module"] == str(tmp_path / "linked")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"modules": [LINKED]}),
        json.dumps({"linked": {name: value for name, value in LINKED.items() if name != "id"}}),
        "- name: linked\n  title: Linked\n  links: {source_code: 'https://github.com/ai4os-hub/linked'}\n",
    ],
)
def test_forms_of_a_catalogue(text: str) -> None:
    [(name, _, about)] = listing.read(text.encode())
    assert (name, about.title) == ("linked", "Linked")
    assert about.links == (("Source code", "https://github.com/ai4os-hub/linked"),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<!DOCTYPE html><html></html>", "it has no list of modules"),
        ("[]", "it has no list of modules"),
        ('["a-name"]', "each of its modules must be an object with an id or a name, and a title"),
        ("a: &a [1]\nb: *a\n", "aliases"),
        ("[" * 100_000, "neither JSON nor YAML"),
        (json.dumps([LISTED] * 5001), "it lists 5001 modules; at most 5000 are read"),
    ],
)
def test_what_is_not_a_catalogue_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        listing.read(text.encode())


REFUSED = {
    "relative.py": "neither an absolute path on the server nor",
    "/nowhere/at/all": "does not exist on the server",
    "/nowhere/at/all.json": "cannot be read on the server",
    "/etc/hostname": "neither a folder, nor a .py file, nor a catalogue",
    "ftp://example.org/modules.json": "is not an http or https address",
    "file:///etc/passwd": "is not an http or https address",
    "ext::sh -c true": "neither an absolute path on the server nor",
    "--upload-pack=true": "neither an absolute path on the server nor",
    "https://me:secret@example.org/a.git": "which would be shown",
    "https://[::1/a.git": "is not a valid address: Invalid IPv6 URL",
    "https://example.org:70000/list": "is not a valid address: Port out of range",
    "/tmp/a\0b.json": "has non-printable characters",
    "https://example.org/a\n.git": "has non-printable characters",
    "{server}/gone": "answered 404",
    "-oa@localhost:x": "neither an absolute path on the server nor",
    "a@localhost:-x": "neither an absolute path on the server nor",
    "ssh://-oProxyCommand=true/a.git": "names no host",
    "{server}/ftp": "leads to ftp://example.org/modules.json, which is not followed",
    "{server}/elsewhere": "cannot be fetched: Cannot connect to host localhost",
    "{server}/again": "leads on more than 5 times",
    "{server}/endless": "is larger than catalogue_limit_bytes, 1000 bytes",
    "{server}/page": "is not a catalogue",
    "{server}/gone.git": "git cannot fetch",
}


async def test_what_cannot_be_added_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"http://localhost:{request.url.port}/secret")

    async def secret(request: web.Request) -> web.StreamResponse:
        raise AssertionError("who answers chooses no address of this machine")

    routes = {
        "/gone": (404, {}, "no"),
        "/ftp": (302, {"Location": "ftp://example.org/modules.json"}, ""),
        "/elsewhere": elsewhere,
        "/secret": secret,
        "/again": (302, {"Location": "/again"}, ""),
        "/endless": (200, {}, "x" * 2000),
        "/page": (200, {"Content-Type": "text/html"}, "<!DOCTYPE html>"),
    }
    async with serving(routes) as server, open_house(tmp_path / "house", {}, catalogue_limit_bytes=1000) as house:
        owner = Owner(house)
        for address, problem in REFUSED.items():
            answer = await owner.add(address.format(server=server))
            assert answer.status == 422, (address, answer.text)
            assert problem in answer.json()["fields"]["address"][0], (address, answer.text)
        assert (await owner.ask("GET", "/modules/sources")).json() == []
        assert not [path for path in (house.home / "modules").rglob("*") if path.is_file()]
        git(tmp_path, "init", "--bare", "bare.git")
        refused = await owner.add(str(tmp_path / "bare.git"))
        assert refused.status == 422 and "is a bare Git repository" in refused.json()["message"]
        assert (await owner.add(str(tmp_path), "git")).status == 422
        for document in ({}, {"address": ""}, {"address": 3}, {"address": "/", "more": 1}):
            assert (await owner.ask("POST", "/modules/sources", document)).status == 422


async def test_modules_of_one_name_have_addresses_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps([LISTED] * 2000))
    async with open_house(tmp_path / "house", {}) as house:
        owner = Owner(house)
        assert (await owner.add(str(tmp_path / "list.json"))).status == 200
        listed = (await owner.ask("GET", "/modules")).json()["modules"]
        ids = [module["id"] for module in listed if module["name"] == "far-away"]
    assert len(set(ids)) == 2000
    assert max(map(len, ids)) == len("far-away~123456~1998")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://h/a/b.git/", "b"),
        ("git@h:repo.git", "repo"),
        ("ssh://git@h/a/b.git", "b"),
        *((address, "repository") for address in ("https://h/x/...git", "https://h/.git", "https://h/..git")),
        ("https://h/x.git?y=/../..", "x"),
        ("https://h/.hidden.git", "hidden"),
    ],
)
def test_the_folder_of_a_repository_is_one_below_its_sources(address: str, name: str) -> None:
    assert name_of(address) == name


@pytest.mark.parametrize(
    ("address", "location", "leads_to"),
    [
        ("http://a/list", "https://b/list", "https://b/list"),
        ("https://a/list", "/other", "https://a/other"),
        *(("https://a/list", location, None) for location in ("http://a/list", "ftp://a/list", "file:///list", "//[")),
    ],
)
def test_a_redirect_is_followed_to_https_only(address: str, location: str, leads_to: str | None) -> None:
    if leads_to is not None:
        assert fetching.followed(URL(address), location) == URL(leads_to)
        return
    with pytest.raises(InvalidArguments, match="which is not followed"):
        fetching.followed(URL(address), location)


async def test_what_stalls_is_given_up(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def stall(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    limits = {"catalogue_timeout_s": 0.2, "git_timeout_s": 0.2}
    async with serving({"/": stall}) as server, open_house(tmp_path / "house", {}, **limits) as house:
        before = set(children())
        for address, name in ((f"{server}/list", "catalogue_timeout_s"), (f"{server}/a.git", "git_timeout_s")):
            answer = await Owner(house).add(address)
            assert f"within {name}, 0.2 s" in answer.json()["message"]
        await wait_until(lambda: set(children()) <= before)
        over.set()


# A module's metadata as documents


async def test_metadata_are_downloaded_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "greeter.py").write_text(SOURCE)
    async with open_house(tmp_path / "house", {}, module_folders=str(tmp_path / "modules")) as house:
        known = (await Owner(house).ask("GET", "/modules/greeter/metadata")).json()
        assert (known["title"], known["libraries"], known["data-type"]) == ("greeter", [], [])
        assert known["provenance"] == {"source": str(tmp_path / "modules"), "metadata_from": "package"}
        said = (await Owner(house).ask("GET", "/modules/my_model/metadata")).json()
        provenance = said.pop("provenance")
        assert said == yaml.safe_load((ROOT / "my_model" / "ai4-metadata.yml").read_text())
        assert (provenance["distribution"], provenance["metadata_from"]) == ("my_model", "ai4-metadata.yml")
        missing = await Owner(house).ask("GET", "/modules/my_model/metadata.jsonld")
        assert (missing.status, missing.json()["error"]) == (501, "not_implemented")
        assert "pip install ai4-metadata" in missing.json()["message"]


async def test_json_ld_is_what_the_platforms_tool_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = environment("3.11", ["ai4-metadata==2.4.2"]).with_name("ai4-metadata")
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    file = ROOT / "my_model" / "ai4-metadata.yml"
    command = [str(tool), "map", "mldcat-ap", "--output-format", "jsonld", str(file)]
    expected = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    (tmp_path / "invalid.py").write_text(SOURCE)
    async with open_house(tmp_path / "house", {}, module_folders=str(tmp_path)) as house:
        answer = await Owner(house).ask("GET", "/modules/my_model/metadata.jsonld")
        assert (answer.status, answer.type) == (200, "application/ld+json")
        said = answer.json()
        assert said.pop("provenance") and said == expected
        refused = await Owner(house).ask("GET", "/modules/invalid/metadata.jsonld")
        assert (refused.status, refused.json()["error"]) == (409, "conflict")
