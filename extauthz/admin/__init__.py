"""The admin listener: what an operator can see of a server that runs. It changes nothing."""
