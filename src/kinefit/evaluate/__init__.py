"""Results against the known truth of a synthetic scene, and against one another.

Scores of values: `position_scores`, `detection_scores`, `lift_scores`, `body_scores`. Of files and
folders: `run_scores`, `point_files`. For people: `score_tables`, `error_sources`. Scores are nested
dictionaries of plain numbers with the unit in each name; None is a number that is not defined.
"""
