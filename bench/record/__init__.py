"""What is recorded of a run, and how does it get to MLflow, whatever happens on the way?"""
