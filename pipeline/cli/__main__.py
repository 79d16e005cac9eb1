"""`python -m pipeline.cli`: the command line without its installed script."""

from pipeline.cli import main

main()
