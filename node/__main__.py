"""`python -m node` is `crlm-node`."""

from node.cli import main

main()
