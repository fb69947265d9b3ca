"""A deterministic web in a box: several hosts, traps and faults, for demos and for testing one's own pipeline."""
