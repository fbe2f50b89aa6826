"""`python -m kalamos` is the command `kalamos`."""

from kalamos.cli import main

main()
