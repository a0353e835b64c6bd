"""X.509 as IKE needs it: certificates, verdicts on chains, and the store of credentials."""
