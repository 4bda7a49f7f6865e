"""The ledger: journal files written on the request path, and a SQLite database that is filled from them."""
