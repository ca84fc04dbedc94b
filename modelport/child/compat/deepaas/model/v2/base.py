"""The base class that a plugin may inherit from."""

from __future__ import annotations

import abc
from typing import Any


class BaseModel(metaclass=abc.ABCMeta):
    """A plugin as a class: all six methods are to be written."""

    schema: Any = None

    @abc.abstractmethod
    def get_metadata(self) -> Any:
        raise NotImplementedError()

    @abc.abstractmethod
    def predict(self, **kwargs: Any) -> Any:
        raise NotImplementedError()

    @abc.abstractmethod
    def get_predict_args(self) -> Any:
        raise NotImplementedError()

    @abc.abstractmethod
    def train(self, **kwargs: Any) -> Any:
        raise NotImplementedError()

    @abc.abstractmethod
    def get_train_args(self) -> Any:
        raise NotImplementedError()

    @abc.abstractmethod
    def warm(self) -> Any:
        raise NotImplementedError()
