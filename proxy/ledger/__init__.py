"""The ledger: journal files written on the request path, and the SQLite store that is filled from them behind it."""
