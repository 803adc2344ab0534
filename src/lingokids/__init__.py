"""Engagement metrics of a kids' learning app, as a Kedro project."""
