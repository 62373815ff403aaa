"""VBench on anyone's videos: a plan of what to generate, a check that refuses gaps, the real package's scores."""
