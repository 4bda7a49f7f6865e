"""What the gateway shows to browsers and to agents: the docs page, the OpenAPI documents and the dashboard.

`table` lists the pages; `site` finds and serves them, and refuses whatever a reader may not see.
"""
