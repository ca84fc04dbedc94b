# mypy: ignore-errors
"""Nothing but predict."""


def predict(**kwargs):
    return "hello"
