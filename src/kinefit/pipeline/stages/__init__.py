"""The work of each stage of the plan; each module holds one stage or twins of it."""
