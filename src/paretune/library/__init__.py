"""The door for people who use gepa: its functions, classes and names on paretune's engine."""
