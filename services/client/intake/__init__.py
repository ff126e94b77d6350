"""From files to rows: sources, the formats they come in, and the judges that their labels make."""
