"""LitServe with one worker process."""

import sys

import litserve


class Noop(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return {"text": request["text"], "count": int(request["count"]), "share": float(request["share"])}

    def predict(self, arguments):
        return arguments

    def encode_response(self, answer):
        return {"status": "OK", "predictions": answer}


if __name__ == "__main__":
    api = Noop(api_path="/v2/models/noop/predict/")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
