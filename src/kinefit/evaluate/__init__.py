"""Results against the known truth of a synthetic scene, and against one another.

Scoring works on values and knows no files (`points`, `pictures`, `directions`, `joint_angles`,
`bodies`); what reads files and folders is apart (`runs`, `files`), and so is what people read
(`report`, `plots`). Scores are nested dictionaries of plain numbers, None where there is nothing to
say, with the unit in each name.
"""
