"""Who fetches which bytes next: thinks only."""
