"""What predict, train and describe share: how their command lines are read, and where the model is.

    modelport predict [our options] MODULE --argument value …

Our options may stand anywhere; everything else after MODULE is the model's. A model's argument that has the name of an
option of ours is given after `--`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import click

from modelport import settings as table
from modelport.commands.shell import names
from modelport.commands.shell.flags import CONFIG_FILE
from modelport.commands.shell.output import say

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from modelport.client.calls import CallArguments
    from modelport.client.models import RemoteModel
    from modelport.commands.calling.local import LocalModel
    from modelport.contract.card import Card

COMMAND_LINE = click.core.ParameterSource.COMMANDLINE
REST, HELP = "modelport.rest", "modelport.help"


class ModelCommand(click.Command):
    """A command whose unknown options are the model's; they wait in the context for the card.

    If it has an argument, the first word that is no option names the model.
    """

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        options = [param for param in self.params if isinstance(param, click.Option)]
        flags = {name: option for option in options for name in (*option.opts, *option.secondary_opts)}
        own, names, rest, help_wanted = list[str](), list[str](), list[str](), False
        tokens = list(arguments)
        while tokens:
            word = tokens.pop(0)
            option = flags.get(word.partition("=")[0])
            if word == "--":
                rest += tokens
                break
            if word in ("--help", "-h"):
                help_wanted = True
            elif option is not None:
                own.append(word)
                if not option.is_flag and "=" not in word:
                    own += tokens[:1]
                    del tokens[:1]
            elif word.startswith("-") or rest or len(names) == len(self.params) - len(options):
                rest.append(word)
            else:
                names.append(word)
        if help_wanted and not names and not any(word.startswith("--url") for word in own):
            own.append("--help")
        context.meta[REST], context.meta[HELP] = rest, help_wanted
        return super().parse_args(context, own + names)

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from modelport.commands.calling import completion

        name = context.params.get("module") or context.params.get("name")
        if not incomplete.startswith("-"):
            return [CompletionItem(incomplete, type="file")]
        items = super().shell_complete(context, incomplete)
        method = "train" if context.info_name == "train" else "predict"
        return items + (completion.complete_arguments(context.params, method, name, incomplete) if name else [])

    def collect_usage_pieces(self, context: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(context), "[--ARGUMENT VALUE]..."]


def model_options(command: click.Command) -> click.Command:
    """A decorator: MODULE, where the model is, and how errors are told."""
    command.params[:0] = [
        click.Argument(["module"], required=False, metavar="MODULE", shell_complete=names.complete_module)
    ]
    command.params += [
        click.Option(["--url"], metavar="URL", help="Ask the server there; MODULE is the model's name on it."),
        click.Option(["--token"], metavar="TEXT", help="Its bearer token.  [better: set BEARER_TOKEN]"),
        click.Option(["--python"], metavar="PATH", help="Interpreter of the model's process."),
        click.Option(["--timeout"], metavar="SECONDS", type=float, help="Give up after this time."),
        CONFIG_FILE,
        click.Option(["--json"], is_flag=True, help="Print compact JSON, for errors as well."),
        click.Option(["--debug"], is_flag=True, help="Show tracebacks and the model's debug log."),
    ]
    return command


def job_options(command: click.Command) -> click.Command:
    """A decorator: to have it made as a job of a server."""
    command.params += [
        click.Option(["--async", "as_job"], is_flag=True, help="Send a job, to --url or to the server running here."),
        click.Option(["--wait"], is_flag=True, help="With --async: print the answer when the job has ended."),
    ]
    return command


class Request:
    """A command line of predict, train or describe, taken apart.

    where: the server that was named, or that is to keep the job. ours: options of ours that were given.
    """

    def __init__(self, context: click.Context, options: Mapping[str, Any]) -> None:
        """Raises click.UsageError, BadSetting, Unreachable."""
        from modelport.client.where import Where

        self.method, self.module = str(context.info_name), options["module"]
        self.rest, self.help_wanted = context.meta[REST], context.meta[HELP]
        self.timeout_s, self.as_json = options["timeout"], options["json"]
        self.ours = {name for name in context.params if context.get_parameter_source(name) is COMMAND_LINE}
        self.where: Where | None = None
        if self.module is None and options["url"] is None:
            raise click.UsageError("name the MODULE, before its arguments; `modelport modules` lists what is installed")
        if self.timeout_s is not None and not 0 < self.timeout_s < math.inf:
            raise click.UsageError(f"--timeout is {self.timeout_s:g}; give a number of seconds above 0")
        if options["url"] is not None or options.get("as_job"):
            url, _, rest = (options["url"] or "").partition("/v2/models/")
            self.module = self.module or unquote(rest.partition("/")[0]) or None
            self.where = Where.find({**options, "url": url.rstrip("/").removesuffix("/v2")})
        flags = {"token": options["token"], "python": options["python"], "debug": options["debug"] or None}
        self.settings = table.read(options["config_file"], flags=flags)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[LocalModel | RemoteModel]:
        """The model, here or on a server."""
        if self.where is not None:
            from modelport.client import AsyncClient

            async with AsyncClient(self.where, timeout_s=self.timeout_s) as server:
                yield await server.model(self.module)
            return
        from modelport.commands.calling.local import named_model

        assert self.module is not None
        # None is needed to read the card, and a training has a process of its own.
        workers = int(self.method == "predict" and not self.help_wanted)
        settings = dataclasses.replace(self.settings, workers=workers)
        async with named_model(settings, self.module, self.timeout_s) as model:
            yield model

    def read_arguments(self, card: Card) -> CallArguments:
        """The model's arguments. Raises click.UsageError, InvalidArguments."""
        from modelport.commands.model import call_arguments

        for argument in card.arguments(self.method):
            if argument.name in self.ours:
                say(f"note: --{argument.name} is modelport's own; the model's argument goes after --", err=True)
        return call_arguments.parse(self.rest, card.arguments(self.method))

    def print_help(self, card: Card) -> None:
        from modelport.describe.helptext import help_text

        prog = f"modelport {self.method} {self.module or card.name}"
        say(help_text(card, prog=prog, method=self.method), nl=False)
        say(f"\nOptions of modelport itself: modelport {self.method} --help")
