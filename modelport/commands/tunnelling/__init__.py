"""`modelport tunnel`."""
