"""A front end: `POST /words/<service>` takes `name=value` words and answers with a line of text."""

from modelport.extending import Frontend, GreetingRow, InvalidRequest, Route, Setting


class WordsFrontend(Frontend):
    segments = ("words",)
    settings = (Setting("words_limit", 100, "maximum number of words in one request", minimum=1),)

    def routes(self):
        return [Route("POST", "/words/{name}", self.predict)]

    async def predict(self, request):
        deployment = self.context.version(request, self.context.find(request, request.match_info["name"]))
        self.context.check_room(deployment)
        values = self.values(await request.text())
        async with self.context.scratch() as scratch:
            card = await deployment.wait_card()
            call = self.context.make_call(card, values, scratch)
            outcome = await self.context.predict(deployment, call)
            return await self.context.respond(request, outcome, after=b"\n")

    def values(self, text):
        words = text.split()
        limit = self.context.options["words_limit"]
        if len(words) > limit:
            raise InvalidRequest(f"{len(words)} words were sent; at most {limit} are taken (words_limit)")
        for word in words:
            if "=" not in word:
                raise InvalidRequest(f"{word[:40]!r} has no equals sign; send name=value")
        return dict(word.split("=", 1) for word in words)

    def error(self, error, status):
        response = super().error(error, status)
        response.text = f"{error.kind}: {error.message}\n"
        response.content_type = "text/plain"
        return response

    async def describe(self, request):
        text = {"text/plain": {"schema": {"type": "string"}}}
        operation = {
            "summary": "Predict, with name=value words",
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
            "requestBody": {"content": text},
            "responses": {"200": {"description": "The answer"}},
        }
        return {"/words/{name}": {"post": operation}}

    def greeting(self):
        return [GreetingRow("/words/{name}", "POST: name=value words")]
