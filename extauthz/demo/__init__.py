"""The demonstration: certificates, a service, and a tour through a real Envoy."""
