"""The public documents that the gateway is compatible with, as claims that are asked of the demo.

Each claim is one example or one concrete shape of a document: a path, a header, a body, a status or a code. What is not
there yet is a claim too, with its reason, and has to be turned once it works.
"""
