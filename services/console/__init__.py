"""The pages: annotators answer here, operators see what happens. A stateless gRPC client of runs and tasks."""
