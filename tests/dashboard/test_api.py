"""The API's page: Swagger UI within the dashboard."""

from __future__ import annotations

from playwright.async_api import Page, StorageState, expect

from tests.dashboard.conftest import Served, wait_in_page
from tests.dashboard.test_safety import problems
from tests.dashboard.test_signing import ask, cookie_of


async def test_an_operation_is_tried_out_without_a_token(page: Page, served: Served) -> None:
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto("/ui/status")
    await page.get_by_role("link", name="API", exact=True).click()
    operation = page.locator("#operations-deployments-deployment")
    await expect(page.locator(".opblock").first).to_be_visible()
    # Of many operations, Swagger UI draws those that are in sight.
    look = """id => document.getElementById(id) !== null || void scrollBy(0, innerHeight / 2)"""
    await wait_in_page(page, look, "operations-deployments-deployment")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_placeholder("name").fill("digits")
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    await expect(operation.locator(".live-responses-table")).to_contain_text("Handwritten digits")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    # What is in sight at first: all of it takes axe half a minute.
    await page.reload()
    await expect(page.locator(".opblock").first).to_be_visible()
    await page.locator(".opblock-tag-section").evaluate_all("all => all.slice(1).forEach(each => each.remove())")
    assert not await problems(page)


async def test_only_styles_are_let_in_from_elsewhere_than_files(served: Served, signed_in: StorageState) -> None:
    answer = await ask("GET", f"{served.url}/ui/api", headers={"Cookie": cookie_of(signed_in)})
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert [each for each in policy if "unsafe" in each] == ["style-src 'self' 'unsafe-inline'"]
    assert "script-src 'self'" in policy


async def test_what_is_the_owners_is_described_to_the_owner_alone(served: Served) -> None:
    owner = {"Authorization": f"Bearer {served.token}"}
    document = (await ask("GET", f"{served.url}/openapi.json", headers=owner)).json()
    paths, schemas = document["paths"], document["components"]["schemas"]
    assert {"/deployments", "/deployments/{name}", "/modules", "/modules/{id}/card", "/modules/refresh"} <= set(paths)
    shape = schemas["DeploymentDocument"]
    told = served.ask("GET", "/deployments?usage=1")[0]
    assert set(shape["required"]) <= set(told) <= set(shape["properties"])
    assert set(schemas["ModuleDocument"]["properties"]) == set(served.ask("GET", "/modules/my_model"))
    token = {"Authorization": f"Bearer {told['token']}"}
    strangers = (await ask("GET", f"{served.url}/openapi.json", headers=token)).json()["paths"]
    assert not [stranger for stranger in strangers if stranger.startswith(("/deployments", "/modules"))]
