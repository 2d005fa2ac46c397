"""What is fitted to what: each recipe is a list of terms and a schedule over the solver."""
