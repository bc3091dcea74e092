"""Run the command line: `python -m geo_model`."""

from geo_model.cli import main

main()
