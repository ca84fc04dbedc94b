"""What changes objects, step by step: a process that test_crashes.py kills. It says of each step how it went."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from modelport.errors import ModelportError
from modelport.objectstore.parts import Uploads
from modelport.objectstore.tree import Tree

BUCKET = "digits"
STEPS = ("put", "new", "stream", "join", "link", "delete")


def body(step: str, size: int = 1000) -> bytes:
    return hashlib.shake_256(step.encode()).digest(size)


CONTENTS = {
    "put": body("put"),
    "new": body("new"),
    "stream": body("stream", 3 << 20),
    "join": body("join", 2 << 20),
    "link": body("link", 5000),
}


def key_of(step: str) -> str:
    return f"outputs/{step}/a b/ü" if step in ("new", "join") else f"outputs/{step}"


async def change(tree: Tree, uploads: Uploads, root: Path, step: str) -> None:
    key, content, headers = key_of(step), CONTENTS.get(step, b""), {"content-type": f"x/{step}"}

    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1 << 19):
            yield data[start : start + (1 << 19)]

    if step in ("put", "new"):
        await tree.put_bytes(BUCKET, key, content, headers)
    elif step == "stream":
        async with tree.receive(BUCKET, key, pieces(content)) as file:
            await tree.finish(file, BUCKET, key, headers)
    elif step == "join":
        upload = await uploads.begin(BUCKET, key, headers)
        await uploads.put(upload, 1, pieces(content[: 1 << 20]))
        await uploads.put(upload, 2, pieces(content[1 << 20 :]))
        await uploads.join(upload, [1, 2])
        await uploads.forget(upload)
    elif step == "link":
        await tree.put(BUCKET, key, root.with_name("answer"), f"x/{step}")
    elif step == "delete":
        await tree.delete(BUCKET, [key, "outputs/delete in a folder/x"])


async def main(root: Path) -> None:
    tree = Tree(root)
    await tree.start()
    uploads = Uploads(tree, 3600)
    await uploads.load()
    for step in STEPS:
        try:
            await change(tree, uploads, root, step)
            print("done", step, flush=True)
        except (ModelportError, OSError) as error:
            print("refused", step, type(error).__name__, flush=True)
    await tree.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
