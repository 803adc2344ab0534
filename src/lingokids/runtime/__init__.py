"""What every run does, whatever the pipeline: ``hooks`` is its table of contents."""
