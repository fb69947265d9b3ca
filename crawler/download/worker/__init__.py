"""What runs in the worker processes, and the words that both sides use."""
