"""The ledger: journal files written on the request path, and a SQLite database that is filled from them.

The way of a usage record: `exchange.settlement` makes it (`record`), `journal` appends it with one write to a segment
(`segments`, `backlog`, `fsync`), `journal_reader` reads it in a batch, `ingest` has `sqlite_writer` write the batch
as rows and sums (`rollups`), and `reports` queries them. `ledger` wires all of it.
"""
