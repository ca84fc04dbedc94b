"""What several front ends are made of."""
