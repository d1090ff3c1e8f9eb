"""The command line of export_onnx."""

from components.main import main

main("export_onnx")
