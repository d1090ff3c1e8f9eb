from components.main import main

main("evaluate")
