"""`extauthz report`: who would be refused, and why, from what was recorded."""
