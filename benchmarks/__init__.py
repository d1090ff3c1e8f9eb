"""Benchmarks: ours against torchvision's own Faster R-CNN, in one run on one machine.

``python -m benchmarks`` runs all of them, ``python -m benchmarks training_step`` one.
"""
