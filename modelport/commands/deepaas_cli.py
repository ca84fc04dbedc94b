"""`modelport deepaas-cli`: a plugin's methods on the command line, called and talking as DEEPaaS' own command.

Also what the script `deepaas-cli` runs that `modelport shims` writes.
"""

from __future__ import annotations

import os

from modelport.commands.deepaas import deepaas_options
from modelport.commands.deepaas.deepaas_options import end
from modelport.commands.shell.verbatim import command_of
from modelport.contract import naming

PROG = "deepaas-cli"
ABOUT = "Call a model's methods as DEEPaaS' own deepaas-cli does: its options, log lines, files."
METHODS = ("get_metadata", "warm", "predict", "train")
INTERRUPTED, TERMINATED = 130, 143


__getattr__ = command_of(PROG, ABOUT, lambda words: main(words))


def main(argv: list[str]) -> int:
    """Call one method; returns the exit status."""
    options = deepaas_options.read(PROG, deepaas_options.CLI, argv, os.environ, methods=METHODS)
    # Only now, so that --version and --help need not wait for it (a tenth of a second).
    import asyncio
    import logging

    from modelport.commands.deepaas import deepaas_logs, deepaas_methods
    from modelport.commands.shell import event_loop

    deepaas_logs.set_up(options, PROG)
    # What goes wrong is told once, by the method; --debug shows how the server sees it.
    logging.getLogger("modelport").setLevel(logging.DEBUG if options["debug"] else logging.CRITICAL + 1)
    module = options["model_name"] or _only_model()
    try:
        return asyncio.run(event_loop.until_terminated(lambda: deepaas_methods.call(options, module)))
    except KeyboardInterrupt:
        return INTERRUPTED
    except event_loop.Terminated:
        return TERMINATED


def _only_model() -> str:
    names = list(dict.fromkeys(entry.name for entry in naming.installed()))
    if len(names) == 1:
        return names[0]
    told = f"there is no model: no module is installed (entry points in the group {naming.GROUP})"
    if names:
        told = (
            f"There are several models available ({names}). Choose one in the DEEPAAS_V2_MODEL environment variable or "
            "with the --model-name option"
        )
    return end(PROG, told)
