"""`python -m proxy.demo`: the demo provider alone, on one port of 127.0.0.1.

It listens on loopback only; it is a toy to test against, not a server to expose.
"""

import asyncio
import socket

import click
import uvicorn

from proxy.demo import DemoSettings, demo_app

_HOST = "127.0.0.1"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; 0 picks a free one.")
@click.option("--api-key", help="Key that callers must show; a random one when not given.")
@click.option("--first-token-delay", type=click.FloatRange(0, 600), default=0.15, help="Seconds to the first token.")
@click.option("--token-interval", type=click.FloatRange(0, 600), default=0.02, help="Seconds between two tokens.")
def main(port: int, api_key: str | None, first_token_delay: float, token_interval: float) -> None:
    """Run a make-believe model provider that speaks OpenAI's API.

    A phrase in the last user message makes it misbehave, such as demo:error=429 or demo:cut=5; see docs/demo.md.
    """
    settings = DemoSettings(first_token_delay=first_token_delay, token_interval=token_interval)
    if api_key:
        settings = DemoSettings(first_token_delay=first_token_delay, token_interval=token_interval, api_key=api_key)
    listener = _listen(port)
    config = uvicorn.Config(demo_app(settings), log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    click.echo(f"key: {settings.api_key}")
    click.echo(f"listening on http://{_HOST}:{listener.getsockname()[1]}/v1")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        raise click.ClickException(
            f"cannot listen on {_HOST}:{port}: {error.strerror}. Choose another --port."
        ) from None
    listener.listen(1024)
    return listener


if __name__ == "__main__":
    main()
