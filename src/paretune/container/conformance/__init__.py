"""The parts of the conformance kit; `paretune.container.check` puts them together."""
