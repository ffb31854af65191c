"""From a response and the golds to a verdict."""
