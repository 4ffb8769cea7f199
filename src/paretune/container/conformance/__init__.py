"""The parts of the conformance kit; `paretune.container.checking` puts them together."""
