"""``python -m components.register_model``."""

from components.main import main

main("register_model")
