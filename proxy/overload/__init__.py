"""Overload protection: measures what the process runs out of, and refuses new requests for it. Running ones go on."""
