"""HTTP towards servers that the policy names."""
