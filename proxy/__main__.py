"""Entry of `python -m proxy` and of the installed command."""

from proxy.cli import main

if __name__ == "__main__":
    main()
