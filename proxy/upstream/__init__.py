"""Upstreams: connections and their pool, the heads of requests, the awaited client, and an httpx transport over it."""
