"""What the drop-in commands share."""
