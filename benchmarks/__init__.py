"""The benchmark harness: what the gateway adds to a request, measured beside a plain proxy and beside no proxy at all.

It starts every process it measures, on loopback only, and ends it again. What measures must not import `proxy`: the
gateway is measured from outside, through its command line and its sockets, as any other system here. `rig`, `micro` and
`store` are no part of that: they look into the gateway, and say so.
"""
