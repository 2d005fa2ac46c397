"""Training of the lifters of `kinefit.lift`."""
