"""What each wire format says where: the model, the usage, the end of a stream, the shape of an error.

Pure: values and bytes only. What is the same for all dialects is in `wire`.
"""
