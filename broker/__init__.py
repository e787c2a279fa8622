"""The broker as data: settings in, texts and decisions out; no Pulumi, no I/O, no randomness."""
