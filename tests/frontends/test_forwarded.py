"""What proxies say of the client counts from the proxies that the settings name, and from nobody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.http.forwarded import PREFIX, Proxies
from modelport.settings import BadSetting, Settings

Headers = Iterable[tuple[str, str]]
View = Callable[..., Awaitable[dict[str, str]]]

FOREIGN = (
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "models.example"),
    ("X-Forwarded-Prefix", "/ml"),
)


@pytest.fixture
async def view() -> AsyncIterator[View]:
    """`await view(headers, peer="127.0.0.2", …settings)`: how a real request from that address is seen."""
    async with AsyncExitStack() as stack:

        async def ask(headers: Headers = (), peer: str = "127.0.0.1", **settings: Any) -> dict[str, str]:
            proxies = Proxies(Settings(**settings))

            async def answer(request: web.BaseRequest) -> web.Response:
                return web.Response(text=json.dumps(asdict(proxies.view(request))))

            runner = web.ServerRunner(web.Server(answer))
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            connector = aiohttp.TCPConnector(local_addr=(peer, 0))
            url = f"http://127.0.0.1:{port}/"
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get(url, headers=[("Host", "own.example:5000"), *headers]) as response,
            ):
                document: dict[str, str] = json.loads(await response.text())
                return document

        yield ask


async def test_nothing_is_believed_by_default(view: View) -> None:
    standard = ("Forwarded", "for=203.0.113.9;proto=https;host=models.example")
    direct = {"client": "127.0.0.1", "scheme": "http", "host": "own.example:5000", "prefix": ""}
    assert await view([*FOREIGN, standard]) == direct


async def test_only_the_named_proxy_is_believed(view: View) -> None:
    told = {"client": "203.0.113.9", "scheme": "https", "host": "models.example", "prefix": "/ml"}
    assert await view(FOREIGN, peer="127.0.0.2", trusted_proxies="127.0.0.2") == told
    assert (await view(FOREIGN, peer="127.0.0.3", trusted_proxies="127.0.0.2"))["client"] == "127.0.0.3"
    assert await view(FOREIGN, peer="127.0.0.3", trusted_proxies="::1, 127.0.0.0/29") == told


async def test_the_standard_header_is_believed_as_well(view: View) -> None:
    header = ("Forwarded", 'for="[2001:db8::1]:4711";Proto=https;host="models.example:8443"')
    told = {"client": "2001:db8::1", "scheme": "https", "host": "models.example:8443", "prefix": ""}
    assert await view([header], trusted_proxies="127.0.0.1") == told


async def test_a_client_behind_a_chain_cannot_choose_its_address(view: View) -> None:
    """Whoever appends to the list leaves in front what the client has sent."""
    chain = [
        ("X-Forwarded-For", "198.51.100.7, 203.0.113.9"),
        ("X-Forwarded-For", "10.0.0.5"),
        ("X-Forwarded-Proto", "http, https, http"),
        ("X-Forwarded-Host", "evil.example, models.example, inner.example"),
    ]
    found = await view(chain, trusted_proxies="127.0.0.1,10.0.0.0/8")
    assert found == {"client": "203.0.113.9", "scheme": "https", "host": "models.example", "prefix": ""}


async def test_a_fact_that_only_the_outer_proxy_has_told_holds_for_the_whole_chain(view: View) -> None:
    chain = [("X-Forwarded-For", "203.0.113.9, 10.0.0.5"), ("X-Forwarded-Proto", "https")]
    assert (await view(chain, trusted_proxies="127.0.0.1,10.0.0.5"))["scheme"] == "https"


@pytest.mark.parametrize(
    ("addresses", "client"),
    [
        ("", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("_hidden", "127.0.0.1"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("203.0.113.9, nonsense", "127.0.0.1"),
        ("nonsense, 10.0.0.5", "10.0.0.5"),
        ("10.0.0.7, 10.0.0.5", "10.0.0.7"),
        ("203.0.113.9, , 10.0.0.5", "10.0.0.5"),
        ("300.0.0.1", "127.0.0.1"),
    ],
)
async def test_addresses(view: View, addresses: str, client: str) -> None:
    found = await view([("X-Forwarded-For", addresses)], trusted_proxies="127.0.0.1,10.0.0.0/8")
    assert found["client"] == client


async def test_where_both_kinds_of_headers_come_they_must_agree(view: View) -> None:
    """A proxy that writes one kind passes on the other as the client has sent it."""
    forged = ("Forwarded", "for=198.51.100.7;host=evil.example;proto=http")
    own = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")]
    found = await view([*own, forged], trusted_proxies="127.0.0.1")
    assert found == {"client": "127.0.0.1", "scheme": "http", "host": "own.example:5000", "prefix": ""}
    same = ("Forwarded", 'for="203.0.113.9:99";proto=https')
    found = await view([*own, same], trusted_proxies="127.0.0.1")
    assert (found["client"], found["scheme"]) == ("203.0.113.9", "https")


@pytest.mark.parametrize(
    "host", ["evil.example/x", "a b", "user@evil.example", "a.example:port", "<script>", ":80", ""]
)
async def test_what_is_not_a_host_is_not_taken_for_one(view: View, host: str) -> None:
    found = await view([("X-Forwarded-Host", host)], trusted_proxies="127.0.0.1")
    assert found["host"] == "own.example:5000"


async def test_an_unknown_scheme_is_not_believed(view: View) -> None:
    found = await view([("X-Forwarded-Proto", "javascript")], trusted_proxies="127.0.0.1")
    assert found["scheme"] == "http"


@pytest.mark.parametrize(
    ("lines", "prefix"),
    [
        (["/ml"], "/ml"),
        (["/ml/"], "/ml"),
        (["/user/ada%40x/proxy/5000"], "/user/ada%40x/proxy/5000"),
        (["/first", "/second/"], "/first/second"),
        (["/first,/second"], "/first/second"),
        (["/"], "/root"),
        (["//evil.example"], "/root"),
        (["/ml/../x"], "/root"),
        (["/."], "/root"),
        (["ml"], "/root"),
        (['/"><script>'], "/root"),
        (["/a\\b"], "/root"),
        (["https://evil.example/"], "/root"),
    ],
)
async def test_prefixes(view: View, lines: list[str], prefix: str) -> None:
    headers = [("X-Forwarded-Prefix", line) for line in lines]
    found = await view(headers, trusted_proxies="127.0.0.1", root_path="/root")
    assert found["prefix"] == prefix


async def test_the_setting_needs_no_header(view: View) -> None:
    assert (await view(root_path="/apps/models"))["prefix"] == "/apps/models"


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.1/8", "10.0.0.300", "*", "127.0.0.1;10.0.0.1"])
def test_a_proxy_that_is_not_an_address_is_refused_at_the_start(value: str) -> None:
    with pytest.raises(BadSetting, match=r"trusted_proxies: .* is not an address or network"):
        Proxies(Settings(trusted_proxies=value))


@settings(max_examples=300)
@given(st.text(alphabet='/.ab%\\:?#&"<', max_size=12))
def test_no_prefix_leads_to_another_place(text: str) -> None:
    """Links and redirects begin with it."""
    if PREFIX.fullmatch(text):
        assert text.startswith("/") and "//" not in text and not {"..", "."} & set(text.split("/"))
        assert not set(text) & set('\\?#"<')
