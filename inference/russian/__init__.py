"""What is known of the Russian language."""
