"""What packages that extend modelport may rely on, and nothing else of modelport: see docs/extending.md.

A front end is a subclass of `Frontend`, registered as an entry point in the group `modelport.frontends`. An executor is
a class that keeps the contract of `Executor`, registered in `modelport.executors`. `modelport.testing` has a
conformance suite for each.

Stability. `VERSION` is the version of this module and of `modelport.testing`. What a name here means stays as it is
while the first number stays. The second number grows with each addition. A change that may break an extension is
announced in the changelog, one release before the first number changes. Other modules of modelport change at any time.
"""

from __future__ import annotations

from modelport import errors as _errors
from modelport.child import plugin as _plugin
from modelport.child.batches import invoke_batch as invoke_batch
from modelport.child.invoke import InvokeOptions as InvokeOptions
from modelport.child.invoke import invoke as invoke
from modelport.child.plugin import Plugin as Plugin
from modelport.contract.card import AnswerSchema as AnswerSchema
from modelport.contract.card import Argument as Argument
from modelport.contract.card import Card as Card
from modelport.contract.prediction import Call as Call
from modelport.contract.prediction import InputFile as InputFile
from modelport.contract.prediction import Outcome as Outcome
from modelport.deployments.streaming import CallStream as CallStream
from modelport.describe.schemas import json_schema as json_schema
from modelport.describe.schemas import object_schema as object_schema
from modelport.describe.schemas import value_schema as value_schema
from modelport.errors import BucketUnavailable as BucketUnavailable
from modelport.errors import Cancelled as Cancelled
from modelport.errors import Conflict as Conflict
from modelport.errors import DeadlineExceeded as DeadlineExceeded
from modelport.errors import Disabled as Disabled
from modelport.errors import Forbidden as Forbidden
from modelport.errors import Interrupted as Interrupted
from modelport.errors import InvalidArguments as InvalidArguments
from modelport.errors import InvalidJson as InvalidJson
from modelport.errors import InvalidRequest as InvalidRequest
from modelport.errors import LoadFailed as LoadFailed
from modelport.errors import ModelFailed as ModelFailed
from modelport.errors import ModelportError as ModelportError
from modelport.errors import NoSuchPlugin as NoSuchPlugin
from modelport.errors import NotAcceptable as NotAcceptable
from modelport.errors import NotFound as NotFound
from modelport.errors import NotImplementedByModel as NotImplementedByModel
from modelport.errors import Overloaded as Overloaded
from modelport.errors import Starting as Starting
from modelport.errors import StorageFull as StorageFull
from modelport.errors import TooLarge as TooLarge
from modelport.errors import Unauthorized as Unauthorized
from modelport.errors import UnsupportedMedia as UnsupportedMedia
from modelport.errors import WorkerLost as WorkerLost
from modelport.executors import Counts as Counts
from modelport.executors import Executor as Executor
from modelport.executors import ExecutorSpec as ExecutorSpec
from modelport.executors import Keeper as Keeper
from modelport.executors import Node as Node
from modelport.executors import Output as Output
from modelport.executors import Place as Place
from modelport.executors import Watcher as Watcher
from modelport.executors.batching import BatchExecutor as BatchExecutor
from modelport.executors.local import LocalExecutor as LocalExecutor
from modelport.executors.pool import PoolWorker as PoolWorker
from modelport.executors.pool import WorkerPool as WorkerPool
from modelport.http.context import BodySource as BodySource
from modelport.http.context import Deployment as Deployment
from modelport.http.context import FrontendContext as FrontendContext
from modelport.http.frontend import Access as Access
from modelport.http.frontend import ExampleCall as ExampleCall
from modelport.http.frontend import Frontend as Frontend
from modelport.http.frontend import GreetingRow as GreetingRow
from modelport.http.frontend import Route as Route
from modelport.http.frontend import Snippet as Snippet
from modelport.http.json_answers import json_answer as json_answer
from modelport.intake import datauri as _datauri
from modelport.intake.public import AllowedHosts as AllowedHosts
from modelport.intake.public import Fetcher as Fetcher
from modelport.intake.scratch import Scratch as Scratch
from modelport.settings import Setting as Setting
from modelport.settings import Settings as Settings
from modelport.tasks import aside as aside

VERSION = "1.1"

load_plugin = _plugin.load
error_from_plain = _errors.from_plain
decode_data_uri, is_data_uri = _datauri.decode, _datauri.is_one
