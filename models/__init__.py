"""What is learned: tensors in, tensors out. No files, no tracking, no clock."""
