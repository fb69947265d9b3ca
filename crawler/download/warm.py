"""What a worker loads first: the HTTP client, without the certificates that it would read in advance and never use.

For worker processes alone: it changes the environment of the process while it loads.
"""

from crawler.fetch.tls import no_certificates

with no_certificates():
    import crawler.fetch.stream

__all__ = ["crawler"]
