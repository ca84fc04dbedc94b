"""Stands in for DEEPaaS where it is not installed: only what plugins import from it."""

# What this behaves like, for plugins that look.
__version__ = "2.6.0"
