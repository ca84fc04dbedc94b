"""Batches: what 32 clients get of a model through the server, beside what the model gives when it is called directly.

    python benchmarks/batching.py [--rounds 3] [--seconds 3] [--peers litserve,mlserver]

direct: `predict_batch` of benchmarks/plugins/batched.py with full batches, in a process of its own: the most there is.
batches: the same model behind modelport. single: the same with `batch_size` 1. Rounds are interleaved, and the figures
are the medians of the ratios to `direct` in the same round. The peers have batches of the same size and wait for none
to fill, or for as short as they can; each has an environment of its own, as in load.py. Needs `wrk`.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from load import BIN, BODY, HERE, PEERS, Served, environment, free_port, wrk

# The same call as tensors of the Open Inference Protocol.
TENSORS = json.dumps({"inputs": [
    {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": ["hello"]},
    {"name": "count", "shape": [1, 1], "datatype": "INT64", "data": [7]},
    {"name": "share", "shape": [1, 1], "datatype": "FP64", "data": [0.25]},
]})  # fmt: skip
ADDRESSES = {"litserve": "/batched", "mlserver": "/v2/models/batched/infer"}
DIRECT = """
import sys, time
import batched
calls = [{"text": "hello", "count": 7, "share": 0.25}] * batched.BATCH_SIZE
end, done, begun = time.perf_counter() + float(sys.argv[1]), 0, time.perf_counter()
while time.perf_counter() < end:
    done += len(batched.predict_batch(calls))
print(done / (time.perf_counter() - begun))
"""


def direct(seconds: float) -> float:
    """Calls a second."""
    command = [sys.executable, "-c", DIRECT, str(seconds)]
    return float(subprocess.run(command, cwd=HERE / "plugins", capture_output=True, text=True, check=True).stdout)


def server(stack: contextlib.ExitStack, folder: Path, *options: str) -> Served:
    port = free_port()
    command = [str(BIN / "modelport"), "serve", "batched", "--listen-port", str(port), "--s3-port", "0"]
    served = Served("modelport", [*command, "--home", str(folder), *options], port)
    served.url = f"{served.base}/v2/models/batched/predict/"
    return started(stack, served)


def peer(stack: contextlib.ExitStack, name: str) -> Served:
    port = free_port()
    command = [str(environment(name) / "python"), "batches.py", str(port)]
    served = Served(name, command, port, PEERS / name, TENSORS if name == "mlserver" else BODY)
    served.url = served.base + ADDRESSES[name]
    return started(stack, served)


def started(stack: contextlib.ExitStack, served: Served) -> Served:
    stack.callback(served.stop)
    served.wait()
    return served


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--peers", default="litserve,mlserver", help="empty: none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        servers = {
            "batches": server(stack, folder / "batches"),
            "single": server(stack, folder / "single", "--batch-size", "1"),
            **{name: peer(stack, name) for name in options.peers.split(",") if name},
        }
        ratios: dict[tuple[str, int], list[float]] = {}
        for _ in range(options.rounds):
            most = direct(options.seconds)
            print(f"direct {most:8.1f} calls/s", flush=True)
            for clients in (1, 4, 16, 32):
                for row, served in servers.items():
                    result = wrk(served.url, clients, options.seconds, served.body, folder)
                    ratios.setdefault((row, clients), []).append(result["rps"] / most)
                    print(
                        f"  {row:8} {clients:2} clients {result['rps']:8.1f} calls/s   p50 {result['p50']:6.1f} ms"
                        f"   {result['errors']:g} errors",
                        flush=True,
                    )
        print(f"medians of {options.rounds} rounds, of direct")
        for (row, clients), values in ratios.items():
            print(f"  {row:8} {clients:2} clients {statistics.median(values):5.2f}")


if __name__ == "__main__":
    main()
