"""The `fourstep` command: what is no stage of the pipeline."""
