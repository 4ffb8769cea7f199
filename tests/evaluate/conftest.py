from hypothesis import settings

# Every test has a timeout already; a busy machine is no counterexample.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
