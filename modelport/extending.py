"""What packages that extend modelport may rely on, and nothing else of modelport: see docs/extending.md.

A front end is a subclass of `Frontend`, registered as an entry point in the group `modelport.frontends`. An executor is
a class that keeps the contract of `Executor`, registered in `modelport.executors`. `modelport.testing` has a
conformance suite for each.

Stability. `VERSION` is the version of this module and of `modelport.testing`. What a name here means stays as it is
while the first number stays. The second number grows with each addition. A change that may break an extension is
announced in the changelog, one release before the first number changes. Other modules of modelport change at any time.
"""

from __future__ import annotations

from modelport.child.batches import invoke_batch
from modelport.child.invoke import InvokeOptions, invoke
from modelport.child.plugin import Plugin
from modelport.child.plugin import load as load_plugin
from modelport.contract.card import AnswerSchema, Argument, Card
from modelport.contract.prediction import Call, InputFile, Outcome
from modelport.deployments.streaming import CallStream
from modelport.describe.schemas import json_schema, object_schema, value_schema
from modelport.errors import (
    BucketUnavailable,
    Cancelled,
    Conflict,
    DeadlineExceeded,
    Disabled,
    Forbidden,
    Interrupted,
    InvalidArguments,
    InvalidJson,
    InvalidRequest,
    LoadFailed,
    ModelFailed,
    ModelportError,
    NoSuchPlugin,
    NotAcceptable,
    NotFound,
    NotImplementedByModel,
    Overloaded,
    Starting,
    StorageFull,
    TooLarge,
    Unauthorized,
    UnsupportedMedia,
    WorkerLost,
)
from modelport.errors import from_plain as error_from_plain
from modelport.executors import Counts, Executor, ExecutorSpec, Keeper, Node, Output, Place, Watcher
from modelport.executors.batching import BatchExecutor
from modelport.executors.local import LocalExecutor
from modelport.executors.pool import PoolWorker, WorkerPool
from modelport.http.context import BodySource, Deployment, FrontendContext
from modelport.http.frontend import Access, ExampleCall, Frontend, GreetingRow, Route, Snippet
from modelport.http.json_answers import json_answer
from modelport.intake.datauri import decode as decode_data_uri
from modelport.intake.datauri import is_one as is_data_uri
from modelport.intake.public import AllowedHosts, Fetcher
from modelport.intake.scratch import Scratch
from modelport.settings import Setting, Settings
from modelport.tasks import aside

VERSION = "1.1"

__all__ = [
    "VERSION",
    "Access",
    "AllowedHosts",
    "AnswerSchema",
    "Argument",
    "BatchExecutor",
    "BodySource",
    "BucketUnavailable",
    "Call",
    "CallStream",
    "Cancelled",
    "Card",
    "Conflict",
    "Counts",
    "DeadlineExceeded",
    "Deployment",
    "Disabled",
    "ExampleCall",
    "Executor",
    "ExecutorSpec",
    "Fetcher",
    "Forbidden",
    "Frontend",
    "FrontendContext",
    "GreetingRow",
    "InputFile",
    "Interrupted",
    "InvalidArguments",
    "InvalidJson",
    "InvalidRequest",
    "InvokeOptions",
    "Keeper",
    "LoadFailed",
    "LocalExecutor",
    "ModelFailed",
    "ModelportError",
    "NoSuchPlugin",
    "Node",
    "NotAcceptable",
    "NotFound",
    "NotImplementedByModel",
    "Outcome",
    "Output",
    "Overloaded",
    "Place",
    "Plugin",
    "PoolWorker",
    "Route",
    "Scratch",
    "Setting",
    "Settings",
    "Snippet",
    "Starting",
    "StorageFull",
    "TooLarge",
    "Unauthorized",
    "UnsupportedMedia",
    "Watcher",
    "WorkerLost",
    "WorkerPool",
    "aside",
    "decode_data_uri",
    "error_from_plain",
    "invoke",
    "invoke_batch",
    "is_data_uri",
    "json_answer",
    "json_schema",
    "load_plugin",
    "object_schema",
    "value_schema",
]
