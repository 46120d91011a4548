"""What is recorded of a run, and how does it reach MLflow despite outages and kills?"""
