from components.contract import main

main("train_detector")
