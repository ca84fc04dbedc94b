"""From a request's body to a call."""
