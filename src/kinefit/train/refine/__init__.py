"""Training of networks that refine joint angles."""
