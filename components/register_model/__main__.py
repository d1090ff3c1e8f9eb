"""``python -m components.register_model``."""

from components.contract import main

main("register_model")
