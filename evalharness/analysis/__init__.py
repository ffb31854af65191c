"""Plain functions from verdicts and lengths to numbers."""
