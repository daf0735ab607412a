"""Models of the Hugging Face hub: their files, and any captioner or translator among them."""
