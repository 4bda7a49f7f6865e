"""The configuration: `tree` holds the frozen structs, `load` reads a file into them, `show` and `schema` print them."""
