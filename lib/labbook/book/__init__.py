"""From results to pages: the store of runs, chapters, verdicts, figures, explorers."""
