"""For whoever runs the services: looks at logs and folds, says what is wrong, puts dead letters back."""
