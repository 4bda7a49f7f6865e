"""TLS to an upstream: how its certificate is checked, and which client certificate it gets.

Certificates are always checked, against the upstream's own name.
"""

import hashlib
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from proxy.config.tree import Upstream
from proxy.errors import ConfigFault


def tls_context(name: str, upstream: Upstream) -> ssl.SSLContext | None:
    """How an upstream's certificate is checked, and which one it is shown; None for one without TLS.

    Certificates are always checked; `ca_file` adds authorities, it replaces none. Raises `ConfigFault`.
    """
    if urlsplit(upstream.base_url).scheme != "https":
        return None
    context = ssl.create_default_context()
    if upstream.ca_file:
        try:
            context.load_verify_locations(upstream.ca_file)
        except OSError as error:
            # ssl's own errors are OSErrors too.
            raise ConfigFault(
                f"upstreams.{name}.ca_file: {upstream.ca_file} cannot be used ({error.strerror or error}); "
                "name a file with certificates in PEM form"
            ) from error
    if upstream.client_cert:
        try:
            # Without a password OpenSSL would ask for that of an encrypted key on the terminal.
            context.load_cert_chain(upstream.client_cert, upstream.client_key, password="")
        except (OSError, ValueError) as error:
            what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigFault(
                f"upstreams.{name}.client_cert: {upstream.client_cert} cannot be used with its key ({what}); name a "
                "certificate and its key in PEM form, the key without a passphrase"
            ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def fingerprint(name: str, upstream: Upstream) -> bytes:
    """What the files with an upstream's certificates hold, as a hash: a reload takes new ones, at the same paths too.

    Raises `ConfigFault`.
    """
    held = hashlib.sha256()
    for setting in ("ca_file", "client_cert", "client_key"):
        path = getattr(upstream, setting)
        if path:
            try:
                held.update(Path(path).read_bytes() + b"\0")
            except OSError as error:
                what = f"{path} cannot be read ({error.strerror})"
                raise ConfigFault(f"upstreams.{name}.{setting}: {what}; put it there, or name another") from error
    return held.digest()
