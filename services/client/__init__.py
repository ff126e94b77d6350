"""What a caller of the services needs, over gRPC alone: begin runs, read files, fetch results."""
