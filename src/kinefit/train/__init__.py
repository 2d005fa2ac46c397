"""How the numbers in `kinefit/weights` were learned: data, training, measurements."""
