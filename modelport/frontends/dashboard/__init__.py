"""The dashboard: pages for a browser at `/ui/`. What they do, they do by the public APIs; a session lets them in."""

from __future__ import annotations

from aiohttp import web

from modelport.frontends.dashboard.deploying import Deploying
from modelport.frontends.dashboard.files import FilePages
from modelport.frontends.dashboard.grid import Grid
from modelport.frontends.dashboard.inference import Inference
from modelport.frontends.dashboard.invoking import CallForms
from modelport.frontends.dashboard.jobs import JobPages
from modelport.frontends.dashboard.marketplace import Marketplace
from modelport.frontends.dashboard.rendering import Pages
from modelport.frontends.dashboard.sharing import SharedForms
from modelport.frontends.dashboard.signing import Signing
from modelport.frontends.dashboard.status import Status
from modelport.frontends.dashboard.trainings import TrainingPages
from modelport.http.frontend import GatewayFrontend
from modelport.http.gate import PathRules
from modelport.http.gateway import Gateway

# By this name other front ends find the way here.
ROUTE = "dashboard"


class DashboardFrontend(GatewayFrontend):
    """`/ui/…`

    Of the gateway it needs the sessions, the catalogue and what there is to show of everything.
    """

    segments = ("ui",)

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def add_routes(self, app: web.Application) -> None:
        if not self.gateway.settings.dashboard:
            return
        pages = Pages(self.gateway)
        self.gateway.gate.rules["ui"] = PathRules(pages.failed, pages=True, for_browsers=True)
        base = pages.base
        add = app.router.add_route
        app.router.add_get(f"{base}/static/{{version}}/{{name:.+}}", pages.static)
        Signing(pages).add_routes(app)
        market, deploying, inference, forms = Marketplace(pages), Deploying(pages), Inference(pages), CallForms(pages)
        jobs, board, files, status = JobPages(pages), TrainingPages(pages), FilePages(pages), Status(pages)
        add("GET", f"{base}/", pages.guarded(market.overview), name=ROUTE)
        for path, handler in (
            ("modules/{id}", market.show),
            ("modules/{id}/arguments", market.arguments),
            ("modules/{id}/check", market.check),
            ("modules/{id}/examples/{file}", market.example),
            ("deploy", deploying.form),
            ("inference", inference.overview),
            ("inference/{name}", inference.info),
            ("inference/{name}/logs", inference.logs),
            ("inference/{name}/state", inference.state),
            ("inference/{name}/belongings", inference.belongings),
            ("inference/{name}/edit", deploying.edit),
            ("inference/{name}/invoke", forms.invoke),
            ("inference/{name}/runs", forms.strip),
            ("inference/{name}/notebook", inference.notebook),
            ("inference/{name}/examples/{file}", forms.example),
            ("inference/{name}/train", forms.train),
            ("jobs", jobs.overview),
            ("jobs/{id}", jobs.job),
            ("compare", jobs.compare),
            ("trainings", board.board),
            ("trainings/new", forms.choose),
            ("files", files.choose),
            ("files/{deployment}", files.folder),
            ("files/{deployment}/results", Grid(pages).show),
            ("api", pages.api),
            ("status", status.page),
        ):
            add("GET", f"{base}/{path}", pages.guarded(handler))
        SharedForms(pages).add_routes(app)
        add("GET", f"{base}/{{rest:.*}}", pages.guarded(pages.missing))
