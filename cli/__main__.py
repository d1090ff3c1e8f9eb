"""``python -m cli``: the `fourstep` command where it is not installed, as in the images."""

from cli.main import main

main()
