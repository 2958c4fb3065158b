"""nbval's kernels talk through local sockets, each in a folder of its own: two that start at once may be given the same
TCP port, and then one of them dies."""

from __future__ import annotations

import tempfile

import nbval.kernel
from jupyter_client.manager import KernelManager


class LocalKernelManager(KernelManager):
    """A kernel manager whose sockets are files, in a folder that is removed with the kernel."""

    def __init__(self, **settings):
        short = "/tmp" if len(tempfile.gettempdir()) > 70 else None  # a socket's path may have 107 characters
        self._sockets = tempfile.TemporaryDirectory(prefix="kernel-", dir=short)
        super().__init__(transport="ipc", ip=f"{self._sockets.name}/s", **settings)

    def cleanup_resources(self, restart: bool = False) -> None:
        """Remove the connection file, and the sockets unless the kernel is about to start again."""
        super().cleanup_resources(restart)
        if not restart:
            self._sockets.cleanup()


nbval.kernel.KernelManager = LocalKernelManager
