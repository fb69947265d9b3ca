"""Items through workers: batches that follow the queue, bounded, taken apart when they break."""
