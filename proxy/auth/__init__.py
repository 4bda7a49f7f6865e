"""Who is asking: API keys, their index in memory, and how a request shows one."""
