"""MLServer with the model of benchmarks/plugins/batched.py: its runtime for models, one worker process."""

import json
import sys
import tempfile
from pathlib import Path

import batched
from mlserver import MLModel
from mlserver.cli import main
from mlserver.types import InferenceResponse, ResponseOutput


class Batched(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        """The batch comes as one request, whose tensors hold the requests' one after the other."""
        text, count, share = (list(tensor.data) for tensor in payload.inputs)
        calls = [
            dict(zip(("text", "count", "share"), call, strict=True)) for call in zip(text, count, share, strict=True)
        ]
        answers = batched.predict_batch(calls)
        types = {"text": "BYTES", "count": "INT64", "share": "FP64"}
        outputs = [
            ResponseOutput(name=name, shape=[len(calls), 1], datatype=type, data=[answer[name] for answer in answers])
            for name, type in types.items()
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)


if __name__ == "__main__":
    port = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
        settings = {"host": "127.0.0.1", "parallel_workers": 1, **ports}
        model = {"name": "batched", "implementation": "batches.Batched"}
        model.update(max_batch_size=batched.BATCH_SIZE, max_batch_time=0.001)  # with 0 it makes no batches
        Path(name, "settings.json").write_text(json.dumps(settings))
        Path(name, "model-settings.json").write_text(json.dumps(model))
        sys.argv = ["mlserver", "start", name]
        sys.path.insert(0, str(Path(__file__).parent))
        main()
