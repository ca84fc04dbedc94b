"""The limit that the load test measures against: one aiohttp handler on uvloop, JSON in and JSON out."""

import sys

import uvloop
from aiohttp import web


async def predict(request: web.Request) -> web.Response:
    if request.content_type == "multipart/form-data":
        reader = await request.multipart()
        with open(sys.argv[2], "wb") as file:
            while (part := await reader.next()) is not None:
                while chunk := await part.read_chunk(1 << 18):
                    file.write(chunk)
        return web.json_response({"status": "OK", "predictions": None})
    body = await request.json()
    answer = {"text": body["text"], "count": int(body["count"]), "share": float(body["share"])}
    return web.json_response({"status": "OK", "predictions": answer})


app = web.Application()
app.router.add_post("/v2/models/noop/predict/", predict)
loop = uvloop.new_event_loop()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=loop)
