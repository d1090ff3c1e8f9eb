from components.main import main

main("init_backbone")
