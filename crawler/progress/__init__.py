"""What a person sees while a crawl runs, and when it has ended."""
