"""From judged matches to findings: severity, state from run to run, suppressions, the store."""
