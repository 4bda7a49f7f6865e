"""A structure-aware fuzzer: odd requests and odd upstream answers against a gateway in a process of its own.

`python -m tests.fuzz`, or `make fuzz`. It knows what HTTP, JSON and event streams look like, and breaks them in one
place at a time; it must never send anything to another address than the loopback.
"""
