"""Values every floor speaks of: identities, selectors, addresses, durations, secrets."""
