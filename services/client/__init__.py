"""What runs on the caller's side: reading input, driving a run, people who answer."""
