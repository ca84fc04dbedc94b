"""The fixture `cli`."""

from tests.cli.conftest import cli as cli
