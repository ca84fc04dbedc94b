"""BentoML with one worker: python -m bentoml serve app:Noop."""

import bentoml


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Noop:
    @bentoml.api(route="/v2/models/noop/predict/")
    def predict(self, text: str, count: int, share: float) -> dict:
        return {"status": "OK", "predictions": {"text": text, "count": count, "share": share}}
