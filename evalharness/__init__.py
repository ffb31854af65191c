"""Scores checkpoints of language models on mathematics: better, or only longer?"""

__version__ = "0.1.0"
