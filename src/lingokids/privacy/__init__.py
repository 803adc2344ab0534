"""What is done at a person's request: erasure, and all that is held of them."""
