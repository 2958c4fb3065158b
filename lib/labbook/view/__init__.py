"""What pages show: figures, tables of systems, and explorers that compute in the page."""
