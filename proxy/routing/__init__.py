"""Which target of an alias is asked, and what is tried after it."""
