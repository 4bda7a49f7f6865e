"""Disks that fail under a running gateway, until a context is left. Not a test itself."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

#: Fails the disk that holds a data directory until the context is left.
Fault = Callable[[Path], AbstractContextManager[object]]


def failing(number: int, *calls: str) -> Fault:
    """These calls of `os` raise an error for whatever lies in the journal's directory."""

    @contextmanager
    def fault(data_dir: Path) -> Iterator[None]:
        inside = str(data_dir / "journal")

        def failed(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(target: Any, *rest: Any, **options: Any) -> Any:
                path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fspath(target)
                # Reading goes on: what has been taken is to be stored.
                if path.startswith(inside) and (isinstance(target, int) or rest[0] & os.O_CREAT):
                    raise OSError(number, os.strerror(number))
                return real(target, *rest, **options)

            return call

        with ExitStack() as patches:
            for name in calls:
                patches.enter_context(patch.object(os, name, failed(getattr(os, name))))
            yield

    return fault


@contextmanager
def file_size_limit(data_dir: Path) -> Iterator[None]:
    """The kernel lets no file grow, in no directory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def moved_away(data_dir: Path) -> Iterator[None]:
    """The data directory is somewhere else for a while."""
    elsewhere = data_dir.with_name("elsewhere")
    data_dir.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(data_dir)


@contextmanager
def filled(data_dir: Path) -> Iterator[None]:
    """A file takes all the room that is left on a small disk."""
    with (data_dir / "ballast").open("wb", buffering=0) as ballast:
        size = 65_536
        while size:
            try:
                ballast.write(b"x" * size)
            except OSError:
                size //= 2
    try:
        yield
    finally:
        (data_dir / "ballast").unlink()


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own, mounted at `path`; skips the test where that is not allowed."""
    path.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a disk can be mounted by root alone")
    command = [mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
