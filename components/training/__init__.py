"""Training: one loop for all four steps, its solver, and what survives a crash."""
