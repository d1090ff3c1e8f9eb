"""The command line of check_data."""

from components.main import main

main("check_data")
