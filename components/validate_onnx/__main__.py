"""The command line of validate_onnx."""

from components.main import main

main("validate_onnx")
