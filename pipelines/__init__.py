"""Pages to records: CPU work off the event loop. Useful without the crawler."""
