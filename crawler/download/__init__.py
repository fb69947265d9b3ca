"""Files, in segments and proven: right or absent."""
