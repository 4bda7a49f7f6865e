"""Overload protection: measures what the process runs out of, and refuses new requests for it. Running ones go on.

`readings` asks the kernel, `memory`, `descriptors` and `grades` turn values into grades, `monitor` acts on them.
"""
