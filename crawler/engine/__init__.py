"""The crawl itself: `Crawl` puts all the other rooms to work."""
