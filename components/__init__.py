"""What runs: one package a stage, and what the stages share."""
