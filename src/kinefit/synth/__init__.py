"""Videos of people whose motion, bodies and cameras are known exactly."""
