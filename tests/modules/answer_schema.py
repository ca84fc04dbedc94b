# mypy: ignore-errors
"""Says what its JSON answers look like, by a dict; the accept default is not the first choice."""

from webargs import fields, validate

schema = {
    "status": fields.Str(metadata={"description": "how it went"}),
    "labels": fields.List(fields.Str(), required=True),
    "probabilities": fields.List(fields.Float(), required=True),
}


def get_predict_args():
    return {
        "labels": fields.List(fields.Str(), load_default=["cat", "dog"]),
        "accept": fields.Str(
            load_default="text/plain", validate=validate.OneOf(["application/json", "text/plain"]), metadata={}
        ),
    }


def predict(labels, accept):
    if accept == "text/plain":
        return "\n".join(labels)
    if not labels:
        return {"nothing": True}
    return {"labels": labels, "probabilities": ["0.5"] * len(labels)}
