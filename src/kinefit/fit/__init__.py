"""Fitting bodies: one least-squares solver, its terms, and recipes for image, video, cameras."""
