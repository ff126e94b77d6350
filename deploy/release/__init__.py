"""What a release is made of: what it depends on, under which licences, and the files in dist."""
