"""Data sets that the user has -> rows to train on, one shard per sequence and camera.

`rows` says what a row is, and writes and reads shards; each data set has a module of its own.
"""
