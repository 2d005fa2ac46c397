"""Errors of arrays against a known truth, by pure functions; what is missing never counts as 0."""
