"""Trainings that chapters share, by name."""
