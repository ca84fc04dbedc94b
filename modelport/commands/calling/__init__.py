"""Commands that call a model: which one, here or on a server, and what comes back."""
