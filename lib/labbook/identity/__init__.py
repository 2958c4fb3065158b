"""The names of trainings: what they are stored under, and what they mean."""
