"""The endpoints: the table of rows, and the handlers that serve them."""
