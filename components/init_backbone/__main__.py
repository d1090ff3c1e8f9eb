from components.contract import main

main("init_backbone")
