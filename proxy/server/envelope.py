"""The error envelope of responses that no endpoint makes: refused requests, and faults inside the gateway."""

from datetime import UTC, datetime
from typing import Final

import msgspec

#: The content type of it.
JSON_LINE: Final = b"content-type: application/json\r\n"


def envelope(message: str, type: str, code: str | None, request_id: str) -> bytes:
    """An error as OpenAI writes it, with the two siblings that say which request it was and when."""
    detail = {"message": message, "type": type, "param": None, "code": code}
    return msgspec.json.encode({"error": detail, "request_id": request_id, "timestamp": timestamp()})


def timestamp() -> str:
    """Now, in UTC, as ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
