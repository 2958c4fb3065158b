"""nbval's kernels: each has a GPU, if need be a pretend one, and talks through local sockets in a folder of its own.

Two that start at once may be given the same TCP port, and then one of them dies.
"""

from __future__ import annotations

import os
from pathlib import Path

import nbval.kernel
from jupyter_client.manager import KernelManager

from labbook.book import execution

CARD = str(Path(__file__).parents[1] / "tests" / "pretend_card")  # where there is no real one


class LocalKernelManager(KernelManager):
    """A kernel manager whose sockets are files, in a folder that is removed with the kernel."""

    def __init__(self, **settings):
        self._sockets = execution.sockets()
        super().__init__(transport="ipc", ip=f"{self._sockets.name}/s", **settings)

    def start_kernel(self, **settings) -> None:
        """Start the kernel on a machine with a GPU, for the profile "smoke" unless another is named."""
        path = os.pathsep.join(filter(None, (CARD, os.environ.get("PYTHONPATH"))))
        super().start_kernel(env={"LABBOOK_PROFILE": "smoke", **os.environ, "PYTHONPATH": path}, **settings)

    def cleanup_resources(self, restart: bool = False) -> None:
        """Remove the connection file, and the sockets unless the kernel is about to start again."""
        super().cleanup_resources(restart)
        if not restart:
            self._sockets.cleanup()


nbval.kernel.KernelManager = LocalKernelManager
