"""What did a session of microbenchmarks find? In sentences, tables, pictures and MLflow."""
