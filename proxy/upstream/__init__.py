"""The way to the upstreams: connections, their pool, what is written on them, and the httpx face of the same pool."""
