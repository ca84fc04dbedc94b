"""Finds and reads handwritten digits in an image: the reference plugin.

The functions below are all that a server needs (entry point group `deepaas.v2.model`):

    get_metadata()       who made it, which version
    get_predict_args()   what `predict` takes
    predict(**args)      image → list of digits, PNG or PDF
    predict_batch(calls) the same for several at once
    get_train_args()     what `train` takes
    train(**args)        fits and stores a classifier
    warm()               loads it, or fits a first one
    schema               what the list of digits looks like
"""

from my_model.api import (
    BATCH_SAME,
    BATCH_SIZE,
    get_metadata,
    get_predict_args,
    get_train_args,
    predict,
    predict_batch,
    schema,
    train,
    warm,
)

__all__ = [
    "BATCH_SAME",
    "BATCH_SIZE",
    "get_metadata",
    "get_predict_args",
    "get_train_args",
    "predict",
    "predict_batch",
    "schema",
    "train",
    "warm",
]
