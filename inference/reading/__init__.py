"""The words on the picture: found, recognised, and put into lines, blocks and reading order."""
