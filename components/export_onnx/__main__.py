"""The command line of export_onnx."""

from components.contract import main

main("export_onnx")
