"""Time: one sweeper for all timeouts, and yielding to the event loop."""
