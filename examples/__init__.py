"""What can be done with the stages beside the pipelines."""
