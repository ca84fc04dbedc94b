"""What several doors are made of."""
