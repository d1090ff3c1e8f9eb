from components.main import main

main("finetune")
