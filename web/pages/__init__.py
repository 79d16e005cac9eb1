"""The pages for people: what renders templates."""
