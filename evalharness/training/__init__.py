"""Trains models on problems that the checker can score."""
