"""Networks on disk and at work: checkpoints, the device, inference over a split."""
