"""What a reader takes at most, checked before memory is allocated and before work is begun.

One table, so that what kinefit does with a hostile file can be seen in one place. A limit leaves
room for the largest honest file that is known, several times; beyond, the file is refused and the
message says to split it. Limits of formats with a structure of their own (pickles, calibrations,
masks, torch archives, XML) stand at the top of their readers.
"""

TEXT_BYTES = 2**29  # three quarters of an hour of 64 markers at 100 Hz
TEXT_LINES = 5_000_000  # fourteen hours at 100 Hz; each takes 150 bytes of memory besides itself
# Numbers of a table, 512 MB: what the largest text can hold, where every row has all its cells.
TABLE_CELLS = 2**26
ROWS_BYTES = 2**31  # of a table of points, read in parts: 40 million rows
TOML_BYTES = 2**23  # a calibration of a thousand cameras with everything written twice
JSON_BYTES = 2**26  # a record of a run has kilobytes
ARRAY_BYTES = 2**30  # of arrays, unpacked: 16 cameras x 10,000 frames x 70 points take 2/5 of it
RESULT_BYTES = 2**32  # of what a stage left for the next: four times as many
MOTION_BYTES = 2**29  # of a body's motion, unpacked: half an hour of Anny at 60 Hz
C3D_VALUES = 2**26  # of points, four each: three quarters of an hour of 64 markers at 100 Hz
C3D_PARAMETERS = 2**18  # bytes of values; a section has up to 255 blocks of 512
POSES = 2**22  # frames times joints of motion capture: 15 minutes of 40 joints at 120 Hz, 300 MB
