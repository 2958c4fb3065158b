"""nbval's kernels talk through local sockets, each in a folder of its own: two that start at once may be given the same
TCP port, and then one of them dies."""

from __future__ import annotations

import nbval.kernel
from jupyter_client.manager import KernelManager

from labbook.book import chapter


class LocalKernelManager(KernelManager):
    """A kernel manager whose sockets are files, in a folder that is removed with the kernel."""

    def __init__(self, **settings):
        self._sockets = chapter.sockets()
        super().__init__(transport="ipc", ip=f"{self._sockets.name}/s", **settings)

    def cleanup_resources(self, restart: bool = False) -> None:
        """Remove the connection file, and the sockets unless the kernel is about to start again."""
        super().cleanup_resources(restart)
        if not restart:
            self._sockets.cleanup()


nbval.kernel.KernelManager = LocalKernelManager
