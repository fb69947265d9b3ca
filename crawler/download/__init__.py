"""Files fetched in segments: right or absent, and verified the moment they arrive."""
