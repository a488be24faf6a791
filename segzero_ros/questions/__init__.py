"""From a query to its answer, and on to following what was found."""
