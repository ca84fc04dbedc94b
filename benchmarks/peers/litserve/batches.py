"""LitServe with the model of benchmarks/plugins/batched.py: one worker process, its own default of no waiting."""

import sys

import batched
import litserve


class Batched(litserve.LitAPI):
    def setup(self, device):
        pass

    def predict(self, calls):
        return batched.predict_batch(calls)


if __name__ == "__main__":
    api = Batched(api_path="/batched", max_batch_size=batched.BATCH_SIZE, batch_timeout=0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
