"""The conformance suites, on the front end and the executor of this package."""

from thread_executor import ThreadExecutor

from modelport.testing.executors import ExecutorConformance
from modelport.testing.frontends import FrontendConformance


class TestWords(FrontendConformance):
    name = "words"


class TestThreads(ExecutorConformance):
    executor = ThreadExecutor
    has_log = has_progress = False
    has_streams = True
