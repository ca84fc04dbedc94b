"""`modelport serve`."""
