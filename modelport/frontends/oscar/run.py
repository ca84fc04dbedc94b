"""POST /run/<name>: a call, from its body to its answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from aiohttp import web

from modelport.contract.prediction import VALUES, Outcome
from modelport.deployments.deployments import Deployment
from modelport.describe.helptext import help_text
from modelport.describe.statuses import STATUS
from modelport.errors import ModelportError, PaymentRequired
from modelport.frontends.oscar import answers as oscar_answers
from modelport.frontends.oscar import body as oscar_body
from modelport.frontends.oscar.answers import JSON, STATUS_HEADER, TEXT, AnswerType
from modelport.frontends.oscar.journal import FAILED, SUCCEEDED, Entry
from modelport.frontends.oscar.services import Calls
from modelport.http import prefer, streaming
from modelport.http.body import BodyReader
from modelport.http.json_answers import encoded
from modelport.http.names import harmless
from modelport.http.outcome_answers import WholeAnswer
from modelport.http.prefer import Preference
from modelport.intake.accept import stream_type
from modelport.intake.calls import make_call
from modelport.intake.received import HELP, asks_for_help, settle
from modelport.observe.logtext import log_text

PROG = "deepaas-cli predict"
SOURCE = "oscar"
DURATION_HEADER = "X-Duration-Seconds"
# "Wait, it is being pulled", as the tutorial and oscar-cli read it: for what will pass, and nothing else.
STATUSES = {**STATUS, "starting": 502}
# Failures that have nothing to do with the call and will pass are never disguised as 200.
PASSING = ("starting", "overloaded", "cancelled")


@dataclass
class _Run:
    """One call on its way."""

    deployment: Deployment
    started: float
    outcome: Outcome | None = None
    text: str = ""  # the answer of a call that has one, with its log
    more: dict[str, str] = field(default_factory=dict)  # headers

    def headers(self) -> dict[str, str]:
        passed_s = time.perf_counter() - self.started
        return {DURATION_HEADER: f"{passed_s:.6f}", "X-Content-Type-Options": "nosniff", **self.more}

    @property
    def log(self) -> str:
        return log_text(self.outcome.log) if self.outcome is not None and self.outcome.log else ""


class Runs(Calls):
    async def run(self, request: web.Request) -> web.StreamResponse:
        deployment, caller = await self._access.call(request, request.match_info["name"])
        journal, name = self._journal, deployment.name
        if deployment.shift is not None:
            deployment = self._gateway.version(request, deployment)
        run = _Run(deployment, time.perf_counter())
        preference = prefer.preference_of(request, self._gateway)
        entry: Entry | None = None
        if preference is None:
            entry = journal.begin(name, caller.user)
        else:  # it is listed, and kept, as a job; an answer in time looks as that of any call
            journal.meet(name, caller.user)
        status, log = FAILED, "The caller left, and the call was stopped.\n"
        try:
            response = await self._run(request, run, preference, caller.user)
            status, log = SUCCEEDED, run.text[-self._gateway.settings.log_tail_bytes :] or run.log
        except ModelportError as error:
            response = self._failure(request, run, error)
            log = oscar_answers.failure_text(error, _status(error), run.log)
        except Exception:
            log = f"{run.log}The server failed; its log says why.\n"
            raise
        finally:
            if entry is not None:
                journal.end(name, entry, status, log)
        return response

    async def _run(
        self, request: web.Request, run: _Run, preference: Preference | None, owner: str
    ) -> web.StreamResponse:
        gateway, deployment = self._gateway, run.deployment
        gateway.check_room(deployment, later=preference is not None)
        reader = BodyReader(request, gateway.settings, "client_max_size")
        card = deployment.card or await deployment.wait_card()
        stream = stream_type(request.headers.get("Accept")) if preference is None else ""
        if stream in card.answer_types or "format" in request.query:
            stream = ""
        answer_type = AnswerType(True) if stream else oscar_answers.answer_type_of(request, card)
        async with gateway.predictions.scratch() as scratch:
            arguments = await oscar_body.read(reader, gateway.settings, card, scratch)
            if HELP in arguments.values and asks_for_help(arguments, card):
                # argparse lays it out, a millisecond for each handful of arguments.
                usage = await asyncio.to_thread(help_text, card, prog=PROG)
                return web.Response(text=usage, headers={**run.headers(), "Content-Type": TEXT})
            values, files = await settle(card, arguments, scratch)
            if answer_type.accept is not None and card.accept is not None:
                values["accept"] = answer_type.accept
            text, kind = not answer_type.pure, VALUES if stream else ""
            call = make_call(card, "predict", values, files, scratch, text=text, stream=kind)
            if stream:
                return await streaming.respond(gateway, request, deployment, call, stream, run.headers())
            if preference is None:
                outcome = await gateway.predictions.run(deployment, call)
                scratch.untouched = outcome.untouched
            else:
                begun = await prefer.predict(gateway, request, deployment, call, preference, source=SOURCE, owner=owner)
                if isinstance(begun, web.Response):
                    return begun
                outcome, run.more = begun.outcome, begun.headers
            run.outcome = outcome
            if outcome.error is not None:
                raise outcome.error
            return await self._answer(request, run, answer_type, outcome)

    async def _answer(
        self, request: web.Request, run: _Run, answer_type: AnswerType, outcome: Outcome
    ) -> web.StreamResponse:
        gateway = self._gateway
        if answer_type.pure:
            oscar_answers.check_type(answer_type, outcome)
            return await gateway.respond(request, outcome, headers={**harmless(outcome.media_type), **run.headers()})
        is_json = outcome.is_json
        if not is_json and not outcome.media_type.startswith("text/"):
            with gateway.predictions.answering():
                return await oscar_answers.respond_base64(request, outcome, run.headers())
        # The log, then the line that scripts look for.
        text = f"{run.log}return: {outcome.text or ''}\n"
        if is_json and outcome.text is not None:
            run.text = text
        return WholeAnswer(body=text.encode(errors="replace"), headers={**run.headers(), "Content-Type": TEXT})

    def _failure(self, request: web.Request, run: _Run, error: ModelportError) -> web.Response:
        """The truth in the status, unless the operator has clients that read nothing else than 200."""
        if isinstance(error, PaymentRequired):
            raise error
        status = shown = _status(error)
        headers = {**run.headers(), STATUS_HEADER: str(status)}
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        if oscar_answers.names_json(request):  # it can read what went wrong, too
            document = {"error": error.kind, "message": error.message, "status": status, "fields": error.fields}
            body = encoded({**document, "log": run.log})
            return web.Response(status=status, body=body, headers={**headers, "Content-Type": JSON})
        if self._gateway.settings.run_ok_status and error.kind not in PASSING:
            shown = 200
        text = oscar_answers.failure_text(error, status, run.log).encode(errors="replace")
        return web.Response(status=shown, body=text, headers={**headers, "Content-Type": TEXT})


def _status(error: ModelportError) -> int:
    return error.status or STATUSES.get(error.kind, 500)
