"""Pages from the web: frontier, politeness, fetch, durable state, and the command `crawl`."""
