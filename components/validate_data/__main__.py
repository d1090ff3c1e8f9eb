"""The command line of the stage."""

from components.contract import main

main("validate_data")
