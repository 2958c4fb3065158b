"""What is known of the study of 2021: its facts, and its pipeline, re-enacted."""
