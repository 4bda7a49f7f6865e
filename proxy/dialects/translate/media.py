"""Media in requests: base64 and URLs as each dialect spells them. Nothing is fetched, and no data is decoded."""

from typing import Final

from proxy.dialects.translate.mapper import RequestMapper
from proxy.dialects.translate.schemas import MediaPart
from proxy.dialects.translate.texts import plain

#: The images that Anthropic takes.
MESSAGES_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_DATA: Final = b'"data:'
_BASE64: Final = b";base64,"
#: What the media type of a data URL may be made of.
_TYPE: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789/+.-")


def media_of(mapper: RequestMapper, kind: str, raw: bytes, path: str) -> MediaPart:
    """The part that a URL stands for, a JSON string: a data URL is cut at its comma, and not decoded.

    Raises `InvalidRequest` for what is neither a data URL in base64 nor a URL of the web.
    """
    if raw.startswith(_DATA):
        head, mark, data = raw[len(_DATA) : -1].partition(_BASE64)
        media_type = head.decode("latin-1").partition(";")[0].replace("\\/", "/").lower()
        if not mark or not data or not _TYPE.issuperset(media_type) or b"\\u" in data:
            mapper.refuse(path, "a data URL must be `data:TYPE;base64,…`")
        return MediaPart(kind, media_type, data.replace(b"\\/", b"/"))
    if not plain(raw).lower().startswith(("https://", "http://")):
        mapper.refuse(path, "it is neither a data URL nor an address of the web")
    return MediaPart(kind, url=raw)


def data_url(part: MediaPart) -> bytes:
    """The URL of a part, a JSON string: its own, or a data URL."""
    return part.url or b'"data:%b;base64,%b"' % (part.media_type.encode(), part.data)
