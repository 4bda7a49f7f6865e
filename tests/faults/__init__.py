"""The fault matrix: an upstream that can fail in every way, and what a client and the ledger must see of each."""
