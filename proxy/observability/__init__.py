"""What operators read: the access log, the process's own log, readiness."""
