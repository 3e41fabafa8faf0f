"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How long an example takes, to make or to test, says how busy the machine is, and nothing of what
# is tested. `make test ARGS=--hypothesis-profile=thorough` looks for longer.
settings.register_profile("extauthz", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "thorough", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("extauthz")
