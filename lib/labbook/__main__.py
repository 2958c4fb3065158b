"""`python -m labbook`: see `labbook.ops.cli`."""

import sys

if __name__ == "__main__":
    from labbook.book import versions
    from labbook.errors import ConfigurationError

    try:
        versions.check()
        from labbook.ops.cli import app

        app(prog_name="python -m labbook")
    except ConfigurationError as refused:
        sys.exit(str(refused))
    except KeyboardInterrupt:  # before a command had begun
        sys.exit(130)
