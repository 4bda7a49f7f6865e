"""The access line: one for every request, text on a terminal and JSON lines elsewhere."""
