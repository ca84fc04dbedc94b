"""Who the owner is, which browsers are signed in, and whose accounts are accepted."""
