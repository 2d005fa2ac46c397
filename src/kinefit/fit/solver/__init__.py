"""The one least-squares solver: chain, state, terms, normal equations, minimisation."""
