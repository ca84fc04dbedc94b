"""What runs in the model's own process, under its interpreter: Python 3.8 and the standard library."""
