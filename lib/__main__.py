"""`python -m lib`: see `lib.cli`."""

import sys

if __name__ == "__main__":
    try:
        from lib.cli import app

        app(prog_name="python -m lib")
    except KeyboardInterrupt:  # before a command had begun
        sys.exit(130)
