"""The data set as the stages see it: the index, decoded images, training batches."""
