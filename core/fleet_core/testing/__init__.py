"""For tests of the core and for authors of protocols and rankers. Pure; needs no test framework."""
