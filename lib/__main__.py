"""`python -m lib`: see `lib.cli`."""

from lib.cli import app

app(prog_name="python -m lib")
