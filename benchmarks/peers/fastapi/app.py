"""FastAPI with its usual server; a function that is no coroutine runs in its thread pool."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Arguments(BaseModel):
    text: str
    count: int
    share: float


@app.post("/v2/models/noop/predict/")
def predict(arguments: Arguments) -> dict[str, object]:
    answer = {"text": arguments.text, "count": arguments.count, "share": arguments.share}
    return {"status": "OK", "predictions": answer}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning")
