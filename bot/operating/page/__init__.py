"""A web page for the operator, behind a password. It shows what the commands print, and changes nothing."""
