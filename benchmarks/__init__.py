"""The benchmark harness: what the gateway adds to a request, measured beside a plain proxy and beside no proxy at all.

It starts every process it measures, on loopback only, and ends it again. It must not import `proxy`: the gateway is
measured from outside, through its command line and its sockets, as any other system here.
"""
