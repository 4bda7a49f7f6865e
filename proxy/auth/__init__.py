"""Authentication: the API keys, their index in memory, and the credentials of requests."""
