"""Authentication: the API keys and whom they belong to, their index in memory, and the credentials of requests.

`store` has all that `keys.db` holds, for commands and the admin API: `keys`, `teams`, `orgs`, `credits`, `audit`;
`export` and `apply` make one document of it, and back. For requests `key_reader` reads changes into `key_table`, which
`key_index` looks up for `credentials`.
"""
