"""The five pipelines, in the order in which the data flows; they meet in the catalog only."""
