from components.contract import main

main("generate_proposals")
