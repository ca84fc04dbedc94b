"""`modelport batch`."""
