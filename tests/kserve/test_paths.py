"""Metadata, health and versions; who may ask; and DEEPaaS's own paths, which stay as they are."""

from __future__ import annotations

import asyncio

import pytest

from modelport.server import Server
from modelport.settings import Settings
from modelport.store.deployments import DeploymentRow
from modelport.testing.frontends import FrontendConformance
from tests.conftest import OpenHouse
from tests.house import wait_until
from tests.kserve import plugins

PREFIXES = ("/v2", "/kserve/v2")
TRITON = {"User-Agent": "python/gevent-http-client-2.6.1"}
OPEN = ("health/live", "health/ready")


class TestConformance(FrontendConformance):
    name = "kserve"
    open_routes = (
        *(f"GET {prefix}/{path}" for prefix in PREFIXES for path in OPEN),
        *("GET /kserve/v2", "GET /v2", "GET /v2/models/{name}"),
    )


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_server_and_its_models_are_described(house: OpenHouse, prefix: str) -> None:
    opened = await house({"x": plugins.EVERYTHING})
    assert (await opened.get(f"{prefix}/health/ready")).json() == {"ready": True}
    opened.server.deployments.add(DeploymentRow("cold", "no_such_module"))  # a module that has not become warm
    server = (await opened.get(prefix, headers=TRITON)).json()
    assert (server["name"], server["extensions"]) == ("modelport", ["binary_tensor_data"])
    assert (await opened.get(f"{prefix}/health/live")).json() == {"live": True}
    assert (await opened.get(f"{prefix}/models/x/ready")).json() == {"name": "x", "ready": True}
    ready = await opened.get(f"{prefix}/models/cold/ready")
    assert (ready.status, ready.json()) == (503, {"name": "cold", "ready": False})
    ready = await opened.get(f"{prefix}/health/ready")
    assert (ready.status, ready.json()) == (503, {"ready": False})
    index = {model["name"]: model for model in (await opened.post(f"{prefix}/repository/index", data="{}")).json()}
    assert index["x"] == {"name": "x", "version": "1", "state": "READY", "reason": ""}
    assert index["cold"]["state"] == "UNAVAILABLE"
    for version in ("", "/versions/1"):
        model = (await opened.get(f"{prefix}/models/x{version}", headers=TRITON)).json()
        assert (model["name"], model["versions"], model["platform"]) == ("x", ["1"], "modelport_python")
        assert model["outputs"] == [{"name": "result", "datatype": "BYTES", "shape": [1]}]
        described = {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in model["inputs"]}
        assert described == {
            "the-text": ("BYTES", [1]),
            "count": ("INT64", [1]),
            "part": ("FP64", [1]),
            "yes": ("BOOL", [1]),
            "numbers": ("FP64", [-1]),
            "words": ("BYTES", [-1]),
            "matrix": ("INT64", [-1, -1]),
            "comma": ("BYTES", [-1]),
            "tree": ("BYTES", [1]),
            "any": ("BYTES", [1]),
            "image": ("BYTES", [1]),
            "files": ("BYTES", [-1]),
        }
        parameters = {tensor["name"]: tensor["parameters"] for tensor in model["inputs"]}
        assert parameters["count"] == {"optional": True}
        assert parameters["tree"] == {"content_type": "json", "optional": True}
        answer = await opened.post(f"{prefix}/models/x{version}/infer", json={"inputs": []})
        assert answer.status == 200
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        answer = await opened.ask(method, f"{prefix}/models/x/versions/2{path}", json={})
        assert (answer.status, answer.json()) == (404, {"error": "the model x has no version '2'; its version is 1"})


async def test_deepaas_redirects_stay_except_for_clients_of_this_protocol(house: OpenHouse) -> None:
    opened = await house({"x": plugins.EVERYTHING})
    for path in ("/v2", "/v2/models/x", "/v2/models/x?a=1"):
        for method in ("GET", "HEAD"):
            answer = await opened.ask(method, path)
            expected = path.replace("?", "/?") if "?" in path else f"{path}/"
            if method == "GET":
                assert (answer.status, answer.headers["Location"]) == (308, expected)
                assert answer.text == "308: Permanent Redirect"
            assert (await opened.ask(method, path, headers=TRITON)).status == 200
    assert (await opened.get("/v2/", headers=TRITON)).json()["id"] == "v2"
    assert (await opened.get("/v2/models/x/", headers=TRITON)).json()["links"]
    assert (await opened.get("/v2/models", headers=TRITON)).status == 308


@pytest.mark.parametrize(
    ("clients", "curl", "triton"),
    [("*", 200, 200), ("", 308, 308), ("curl/, python/gevent", 200, 200), ("b", 308, 308)],
)
async def test_the_operator_says_which_clients_these_are(
    house: OpenHouse, clients: str, curl: int, triton: int
) -> None:
    opened = await house({"x": plugins.EVERYTHING}, kserve_clients=clients)
    for path in ("/v2", "/v2/models/x"):
        assert (await opened.get(path, headers={"User-Agent": "curl/8"})).status == curl
        assert (await opened.get(path, headers=TRITON)).status == triton


async def test_the_model_needs_the_token_where_the_server_has_one(house: OpenHouse) -> None:
    opened = await house({"x": plugins.EVERYTHING}, token="secret")
    for prefix in PREFIXES:
        for path in ("", "/health/live", "/health/ready"):
            assert (await opened.get(prefix + path, headers=TRITON)).status == 200
        for token, status in (("", 401), ("Bearer wrong", 401), ("Bearer secret", 200)):
            headers = {**TRITON, "Authorization": token} if token else TRITON
            for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
                answer = await opened.ask(
                    method,
                    f"{prefix}/models/x{path}",
                    headers=headers,
                    json={"inputs": []} if path == "/infer" else None,
                )
                assert answer.status == status
                assert status == 200 or list(answer.json()) == ["error"]


async def test_a_path_that_is_nobodys_is_told_in_the_shape_of_the_protocol(house: OpenHouse) -> None:
    opened = await house({"x": plugins.EVERYTHING})
    for path in ("/kserve", "/kserve/v2/models/x/stats", "/kserve/v2/systemsharedmemory/status"):
        answer = await opened.get(path)
        assert (answer.status, answer.json()) == (404, {"error": f"there is nothing at {path}"})
    assert (await opened.get("/v2/nothing")).text == "404: Not Found"
    assert (await opened.get("/kserve/v2/models/x/infer")).status == 405
    assert (await opened.get("/kserve/v2/health/live/")).json() == {"live": True}


async def test_below_a_base_path_and_without_predictions(house: OpenHouse) -> None:
    opened = await house({"x": plugins.EVERYTHING}, base_path="/models", predict_endpoint=False)
    assert (await opened.get("/models/kserve/v2/health/live")).json() == {"live": True}
    answer = await opened.post("/models/kserve/v2/models/x/infer", json={"inputs": []})
    assert (answer.status, answer.json()) == (403, {"error": "the predict endpoint is switched off here"})


async def test_a_service_of_the_name_kserve_is_told_at_the_start(
    tmp_path: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(listen_port=0, s3_port=0, home=str(tmp_path))
    server = Server(settings, [DeploymentRow(name="kserve", module="no_such_module")])
    await server.start()
    try:
        assert "the service kserve cannot be reached at /kserve, because the front end kserve answers" in caplog.text
    finally:
        await server.stop(0)


async def test_a_full_queue_is_a_503_that_says_when(house: OpenHouse) -> None:
    opened = await house({"x": plugins.MEDIA}, queue_limit=0)
    path = "/kserve/v2/models/x/infer"
    slow = asyncio.create_task(opened.post(path, json={"inputs": [], "parameters": {"seconds": 600.0}}))
    await wait_until(lambda: opened.server.deployments.get("x").executor.counts().busy == 1)
    answer = await opened.post(path, json={"inputs": []})
    assert answer.status == 503 and "Retry-After" in answer.headers and list(answer.json()) == ["error"]
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    await wait_until(lambda: opened.server.deployments.get("x").executor.counts().busy == 0)
