"""The command line of validate_onnx."""

from components.contract import main

main("validate_onnx")
