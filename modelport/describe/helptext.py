"""A card as the help text of `deepaas-cli predict --help`, letter for letter.

argparse itself lays it out, set up as deepaas sets it up. Three things differ, each where the original says less than
is true: the choices of a OneOf are listed too, in a line of their own after the original's; a file is called one
whatever the class of its field, because ours is read as one; and the original dies of a `%` in a default.
"""

from __future__ import annotations

import argparse
import re

from modelport.contract.card import Argument, Card

# Names of marshmallow's and webargs' classes that deepaas knows by exactly this type; all others are text to it.
PLAIN_TYPES = {
    "Bool": "bool",
    "Boolean": "bool",
    "Int": "int",
    "Integer": "int",
    "Float": "float",
    "List": 'list, enclosed as string: "[...]"',
    "Dict": 'dict, enclosed as string: "{...}"',
}
NO_DEFAULT = "<marshmallow.missing>"
WIDTH = 80  # argparse's own where there is no terminal


def help_text(card: Card, *, prog: str, method: str = "predict", width: int = WIDTH) -> str:
    """What `deepaas-cli METHOD --help` prints for this plugin, with its last newline.

    prog: what stands behind "usage: ", such as "deepaas-cli predict". width: columns of the terminal.
    """
    arguments = card.arguments(method)
    try:
        return _laid_out(arguments, prog, width, plain_names=False)
    except AssertionError:
        # argparse loses its way in long usage lines with brackets or blanks in a name (python/cpython#77048 and its
        # relatives); the original dies of it.
        return _laid_out(arguments, prog, width, plain_names=True)


def _laid_out(arguments: list[Argument], prog: str, width: int, *, plain_names: bool) -> str:
    def formatter(prog: str) -> argparse.HelpFormatter:
        # Less 2, as argparse does with the terminal's width.
        return argparse.RawTextHelpFormatter(prog, max_help_position=10, width=width - 2)

    # "resolve": an argument called "help" takes the place of argparse's own.
    parser = argparse.ArgumentParser(
        prog.replace("%", "%%"), formatter_class=formatter, conflict_handler="resolve", allow_abbrev=False
    )
    if hasattr(parser, "color"):
        parser.color = False  # from Python 3.14 on, help has colours where there is a terminal
    for number, argument in enumerate(arguments):
        name = re.sub(r"[^\w.-]+", "_", argument.name) if plain_names else argument.name
        parser.add_argument(
            f"--{name}",
            dest=f"argument_{number}",
            metavar=name.lstrip("-").replace("-", "_").upper(),
            required=argument.required,
            help=argument_help(argument).replace("%", "%%"),
        )
    return parser.format_help()


def argument_help(argument: Argument) -> str:
    """The lines under one option."""
    lines = [
        # argparse reads "%%" as a single one, and so do those who wrote descriptions for it.
        argument.description.replace("%%", "%"),
        f"Type: {type_text(argument)}",
        "*Required*" if argument.required else f"Default: {_default_text(argument)}",
    ]
    if argument.choices is not None:
        lines.append(f"Choices: {argument.choices}")
    return "\n".join(lines).lstrip("\n")


def type_text(argument: Argument) -> str:
    """ "int", "str (filepath)", 'list, enclosed as string: "[...]"', …"""
    if argument.type == "file":
        return "str (filepath)"
    if argument.field_type == "Field":
        return "str (WARNING: original type fields.Field)"
    text = PLAIN_TYPES.get(argument.field_type, "str")
    return f"{text} (filepaths)" if argument.is_file else text


def _default_text(argument: Argument) -> str:
    if argument.has_default and argument.default is None and not argument.nullable:
        return "<computed>"  # by a function of the plugin, whose address the original prints
    return str(argument.default) if argument.has_default else NO_DEFAULT
