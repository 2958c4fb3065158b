"""Commands: running, sweeping, comparing, measuring speed, a card's session."""
