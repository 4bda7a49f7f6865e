"""Time and turns: one sweeper for all timeouts, and the release of the GIL by worker threads."""
