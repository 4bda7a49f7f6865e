"""Authentication: the API keys, their index in memory, and the credentials of requests.

`keys` stores them in SQLite; `key_reader` reads changes into `key_table`, which `key_index` looks up for `credentials`.
"""
