"""The words on the picture: passes of Tesseract, merged into lines, blocks and reading order."""
