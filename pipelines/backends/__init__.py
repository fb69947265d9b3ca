"""Where CPU work runs: inline, in the local pool, on any `concurrent.futures.Executor`."""
