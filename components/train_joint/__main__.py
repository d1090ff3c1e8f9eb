from components.main import main

main("train_joint")
