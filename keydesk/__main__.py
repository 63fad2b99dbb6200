"""`python -m keydesk`."""

from keydesk.command import main

main()
