"""What needs torch: TRL's trainers on the lessons of a spec."""
