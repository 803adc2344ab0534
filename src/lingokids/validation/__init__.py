"""What makes a raw line unusable (``quality``), and keys that no field reads (``drift``)."""
