from components.contract import main

main("evaluate")
