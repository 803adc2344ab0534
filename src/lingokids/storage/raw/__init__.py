"""Raw objects, from where they lie to lines: ``objects`` is the dataset.

``places`` opens a folder (``folders``) or a bucket (``buckets``), both of which are ``stores``;
``lines`` cuts bytes into lines.
"""
