"""What drives the services: reactors, workers, folds, the children that compute for them."""
