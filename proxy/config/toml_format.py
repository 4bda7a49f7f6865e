"""Formats keys and values as TOML (https://toml.io/en/v1.0.0). Pure."""


def toml_value(value: object) -> str:
    """Format a string, number, boolean or list of those."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, int | float):
        return str(value)
    return toml_string(str(value))


def toml_string(text: str) -> str:
    """Format a basic string."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escape(c) for c in text) + '"'


def toml_key(name: str) -> str:
    """Format a key: bare if it may be, else as a basic string."""
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else toml_string(name)


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
