"""What stands on a picture: words found and recognised, and the one Reading that is made of them."""
