"""What can be said of a claim."""

REPRODUCED, CONTRADICTED, UNRESOLVED = "reproduced", "contradicted", "unresolved"
ONE_SEED, NOT_MEASURED = "one seed", "not measured"
VERDICTS = (REPRODUCED, CONTRADICTED, UNRESOLVED, ONE_SEED, NOT_MEASURED)
