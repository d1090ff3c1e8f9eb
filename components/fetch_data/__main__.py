"""The command line of fetch_data."""

from components.main import main

main("fetch_data")
