"""What happens to a page, one stage a file: decode, parse, hash, verify, record. Plain callables."""
