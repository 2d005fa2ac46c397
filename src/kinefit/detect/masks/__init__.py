"""Masks of people and of their heads in videos."""
