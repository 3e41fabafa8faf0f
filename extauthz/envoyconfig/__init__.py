"""What a policy needs of the Envoy in front, and how an Envoy configuration comes to have it."""
