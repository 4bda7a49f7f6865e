"""The admin API: routes below `/-/` and `/admin/` with a token of their own, which is never a client key.

`table` lists the routes; `api` finds, authenticates and serves them, and refuses whatever no row allows.
"""
