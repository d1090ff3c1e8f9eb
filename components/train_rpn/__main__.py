from components.main import main

main("train_rpn")
