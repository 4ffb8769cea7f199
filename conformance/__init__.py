"""The vendor's own clients against `paretune serve`; nothing here is part of the package."""
