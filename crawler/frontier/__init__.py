"""Which URL next, and whether at all. Decides; touches no network, disk or clock."""
