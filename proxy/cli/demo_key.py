"""The demo's key: one for each data directory, so that clients which were set up once work at every start.

Its secret lies in a file of its own, for the owner alone, because it must be printed again; it opens the built-in
provider and nothing else. It must never get into `keys.db`: a gateway with real providers does not know it.
"""

import re
import secrets
from pathlib import Path

import msgspec

from proxy.auth.key_index import KeyIndex
from proxy.auth.keys import Key
from proxy.errors import StoreFailed
from proxy.ledger.ledger import prepare

NAME = "demo"
FILE_NAME = "demo-key"
_SECRET = re.compile(r"[A-Za-z0-9_-]{32,256}")
_MAX_BYTES = 1_024


def load_or_create(data_dir: Path, prefix: str) -> str:
    """The secret of the demo's key; one is created and stored where there is none. Raises StoreFailed."""
    prepare(data_dir)
    path = data_dir / FILE_NAME
    try:
        kept = _read(path)
        if kept is not None:
            path.chmod(0o600)
            return kept
        return _write(path, prefix + secrets.token_urlsafe(32))
    except OSError as error:
        raise StoreFailed(
            f"the demo's key cannot be kept in {path}: {error.strerror or error}; name another --data-dir"
        ) from error


def load(data_dir: Path) -> Key | None:
    """The demo's key, if there has been a demo in this directory. Raises StoreFailed."""
    path = data_dir / FILE_NAME
    try:
        secret = _read(path)
        if secret is None:
            return None
        return msgspec.structs.replace(_remembered(secret), created=int(path.stat().st_mtime))
    except OSError as error:
        raise StoreFailed(f"{path} cannot be read: {error.strerror or error}") from error


def key_id() -> str:
    """The id of the demo's key, which is the same everywhere."""
    return _remembered("").id


def _remembered(secret: str) -> Key:
    """The key as the demo's own index has it."""
    return KeyIndex(Path()).remember(NAME, secret)


def _read(path: Path) -> str | None:
    """The secret in the file; None where there is no file, or no secret in it."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    return text if _SECRET.fullmatch(text) else None


def _write(path: Path, secret: str) -> str:
    # Renamed when it is whole: of two demos that start at once, neither reads half a key.
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        part.touch(mode=0o600, exist_ok=False)
        part.write_text(secret + "\n", encoding="ascii")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return secret
