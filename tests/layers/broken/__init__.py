"""A package that breaks the layer rule on purpose."""
