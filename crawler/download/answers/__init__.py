"""What an answer is worth, and whether it is still the same file: thinks only."""
