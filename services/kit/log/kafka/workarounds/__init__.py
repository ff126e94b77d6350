"""Ways round faults of kafka-python, each with the test that fails when it is mended or moved."""
