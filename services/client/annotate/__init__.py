"""`concord annotate`: one person who answers in a terminal."""
