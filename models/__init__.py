"""What is learned: tensors in, tensors out. No files, no tracking, no clock.

Batch sizes are read as ``tensor.shape[0]``, never ``len(tensor)``: in an export to ONNX the latter
would fix them.
"""
