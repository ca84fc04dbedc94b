# mypy: ignore-errors
"""`train` behind a login decorator that puts something of its own into the arguments."""

import os
from functools import wraps

from webargs import fields


class Flaat:
    def login_required(self):
        def decorate(function):
            @wraps(function)
            def inner(*args, **kwargs):
                if os.environ.get("DISABLE_AUTHENTICATION_AND_ASSUME_AUTHENTICATED_USER") != "yes":
                    raise PermissionError("no token")
                return function(*args, **kwargs)

            return inner

        return decorate


flaat = Flaat()


def get_predict_args():
    return {}


def predict(**kwargs):
    return {"open": "to all"}


def get_train_args():
    return {"epochs": fields.Int(load_default=10)}


@flaat.login_required()
def train(**kwargs):
    return kwargs
