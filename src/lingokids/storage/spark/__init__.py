"""Tables on Apache Spark: Iceberg tables, which one SQL transaction of their catalog commits."""
