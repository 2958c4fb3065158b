"""Where the tests are: the checkout, and the pretend GPU."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRETEND_CARD = ROOT / "tests" / "pretend_card"
