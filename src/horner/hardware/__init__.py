"""Arrays of processing elements: what a network costs on them."""
