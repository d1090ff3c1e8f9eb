"""Pages for people: one style and one way to draw charts, for the reports of all stages."""
