"""The whole system over a fixed suite with known truth: one table, held against a baseline."""
