"""Many trials: each in a process and a folder of its own, here or on a cluster; one summary."""
