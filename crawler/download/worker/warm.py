"""What a worker loads first: the HTTP client, without the certificates that it would read in advance and never use.

For worker processes alone: it changes the environment of the process, and stops its collector, while it loads.
"""

import gc

from crawler.fetch.tls import no_certificates

gc.disable()  # nothing dies while modules load, and looking for it takes a tenth of the time
with no_certificates():
    import crawler.download.worker.worker
gc.freeze()
gc.enable()

__all__ = ["crawler"]
