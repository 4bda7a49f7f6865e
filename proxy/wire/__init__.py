"""What goes over the wire, as pure functions and small machines: bytes in, bytes or values out.

Nothing in this package does I/O, reads a clock or the environment, or logs.
"""
