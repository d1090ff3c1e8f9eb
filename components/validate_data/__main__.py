"""The command line of the stage."""

from components.main import main

main("validate_data")
