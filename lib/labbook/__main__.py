"""`python -m labbook`: see `labbook.ops.cli`."""

import sys

if __name__ == "__main__":
    try:
        from labbook.ops.cli import app

        app(prog_name="python -m labbook")
    except KeyboardInterrupt:  # before a command had begun
        sys.exit(130)
