"""One pose per frame of what each camera saw for itself, fitted to points in space."""
