"""What a run needs beside the crawl itself: one owner at a time."""
