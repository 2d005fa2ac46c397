"""Several cameras: one clock, one person, one rig."""
