from components.contract import main

main("finetune")
