"""What an operator reads: the access log, log messages, readiness."""
