"""Visual search beyond 2021: evidence maps, searchers with a periphery, foveal search."""
