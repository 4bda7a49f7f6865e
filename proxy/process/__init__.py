"""The operating system's process: workers, supervisor, reload, control socket, systemd."""
