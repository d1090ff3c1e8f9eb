from components.main import main

main("generate_proposals")
