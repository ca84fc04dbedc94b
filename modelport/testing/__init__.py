"""Conformance suites for packages that extend modelport, to be run by pytest in the package's own tests.

    from modelport.testing.executors import ExecutorConformance
    from modelport.testing.frontends import FrontendConformance

    class TestEcho(FrontendConformance):
        name = "echo"

    class TestThreads(ExecutorConformance):
        executor = ThreadExecutor

An executor that runs calls together has `modelport.testing.batches.BatchConformance` instead.
Their version is `modelport.extending.VERSION`. They need pytest and none of its plugins.
"""
