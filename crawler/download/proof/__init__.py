"""What a file is held against: digests, who announced them, the lists that name them. Thinks only."""
