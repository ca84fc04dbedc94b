"""Jobs, shown and waited for."""
