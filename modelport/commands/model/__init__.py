"""What a command knows of a model, wherever it runs: arguments, answers, progress."""
