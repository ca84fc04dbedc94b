"""The model of cluster.py on Ray Serve: `python app.py`, on a cluster of its own. Prints the figures as JSON.

Two replicas of one processor, each one call at a time, called by a handle: no HTTP, as in the other figures.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
sys.path.insert(0, str(Path(__file__).parents[2]))

import callers
import ray
from ray import serve
from ray.cluster_utils import Cluster


@serve.deployment(num_replicas=2, max_ongoing_requests=1, ray_actor_options={"num_cpus": 1})
class Quick:
    def __call__(self, seconds: float) -> int:
        time.sleep(seconds)
        return 1


async def measure(handle) -> dict[str, float]:
    async def call(seconds: float) -> None:
        assert await handle.remote(seconds) == 1

    await callers.together(call, 0.0)  # the handle finds its replicas
    return await callers.measured(call)


def main() -> None:
    cluster = Cluster()
    cluster.add_node(num_cpus=0, include_dashboard=False)
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    try:
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        serve.start(proxy_location="Disabled")
        handle = serve.run(Quick.bind(), route_prefix=None)
        print(json.dumps(asyncio.run(measure(handle))))
        serve.shutdown()
        ray.shutdown()
    finally:
        cluster.shutdown()


main()
