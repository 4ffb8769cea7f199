"""Verifiers: models that judge rollouts by a rubric, alone or in a small graph, and what comes of it."""
