"""`python -m proxy.demo`: the demo provider alone, on one port of 127.0.0.1.

It listens on loopback only; it is a toy to test against, not a server to expose.
"""

import argparse
import contextlib
import socket
import sys
from collections.abc import Sequence

import uvicorn

from proxy.demo import DemoSettings, demo_app

_HOST = "127.0.0.1"
_DEFAULTS = DemoSettings(api_key="")
_EPILOG = (
    "A phrase in the last user message makes it misbehave, such as demo:error=429 or demo:cut=5; "
    "docs/demo.md lists them all."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the provider until it is interrupted; the exit code is 1 when the port cannot be had."""
    options = _parser().parse_args(arguments)
    key = {"api_key": options.api_key} if options.api_key else {}
    settings = DemoSettings(first_token_delay=options.first_token_delay, token_interval=options.token_interval, **key)
    try:
        listener = socket.create_server((_HOST, options.port), backlog=1024)
    except OSError as error:
        print(f"Cannot listen on {_HOST}:{options.port}: {error.strerror}. Choose another --port.", file=sys.stderr)
        return 1
    config = uvicorn.Config(demo_app(settings), log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    print(f"key: {settings.api_key}")
    print(f"listening on http://{_HOST}:{listener.getsockname()[1]}/v1", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _parser() -> argparse.ArgumentParser:
    description = "Run a make-believe model provider that speaks OpenAI's API, on loopback."
    parser = argparse.ArgumentParser(prog="python -m proxy.demo", description=description, epilog=_EPILOG)
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="port; 0, the default, picks a free one")
    parser.add_argument("--api-key", metavar="KEY", help="key that callers must send; a random one when not given")
    times = (
        ("--first-token-delay", "seconds to the first token", _DEFAULTS.first_token_delay),
        ("--token-interval", "seconds between tokens", _DEFAULTS.token_interval),
    )
    for option, text, default in times:
        parser.add_argument(option, type=_seconds, default=default, metavar="S", help=f"{text} (%(default)s)")
    return parser


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 0 to 65535")


def _seconds(text: str) -> float:
    if text.isascii() and text.replace(".", "", 1).isdecimal() and float(text) <= 600:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no time; give seconds from 0 to 600")


if __name__ == "__main__":
    sys.exit(main())
