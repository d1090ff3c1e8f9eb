"""The exported detector: what its file says about itself, and running it. No torch."""
