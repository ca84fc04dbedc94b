"""A server, called from the command line."""
