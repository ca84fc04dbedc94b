"""What isolation costs at least: the bare handler on uvloop with one worker process over a socketpair, nothing else.

    python benchmarks/isolated.py PORT [AHEAD]

AHEAD: so many calls more may be under way to the worker, as with modelport's setting queue_ahead.
"""

import asyncio
import json
import os
import socket
import struct
import sys

import uvloop
from aiohttp import web

LENGTH = struct.Struct("!I")


def work(connection: socket.socket) -> None:
    while prefix := connection.recv(LENGTH.size):
        body = json.loads(connection.recv(LENGTH.unpack(prefix)[0]))
        answer = {"text": body["text"], "count": int(body["count"]), "share": float(body["share"])}
        data = json.dumps(answer).encode()
        connection.sendall(LENGTH.pack(len(data)) + data)


class Worker(asyncio.Protocol):
    """Answers come in the order of the questions."""

    def connection_made(self, transport):
        self.transport = transport
        self.waiting = []
        self.buffer = b""

    def ask(self, data: bytes) -> asyncio.Future:
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        self.transport.write(LENGTH.pack(len(data)) + data)
        return answer

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 4 and len(self.buffer) >= 4 + (length := LENGTH.unpack_from(self.buffer)[0]):
            answer = self.waiting.pop(0)
            if not answer.done():
                answer.set_result(self.buffer[4 : 4 + length])
            self.buffer = self.buffer[4 + length :]


async def main() -> None:
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        work(theirs)
        os._exit(0)
    theirs.close()
    _, worker = await asyncio.get_running_loop().create_unix_connection(Worker, sock=ours)
    free = asyncio.Semaphore(1 + int(sys.argv[2] if len(sys.argv) > 2 else 0))

    async def predict(request: web.Request) -> web.Response:
        body = await request.json()
        async with free:
            answer = await worker.ask(json.dumps(body).encode())
        return web.json_response({"status": "OK", "predictions": json.loads(answer)})

    app = web.Application()
    app.router.add_post("/v2/models/noop/predict/", predict)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
