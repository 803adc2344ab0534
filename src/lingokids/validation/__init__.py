"""What makes a raw line unusable, where each line goes, and schema drift."""
