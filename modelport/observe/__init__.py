"""Counters, charts and readable logs."""
