"""What holds for every test."""

from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing of what is tested.
# `make test ARGS=--hypothesis-profile=thorough` looks for longer.
settings.register_profile("extauthz", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("extauthz")
