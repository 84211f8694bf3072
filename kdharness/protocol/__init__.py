"""What is declared: benchmarks, recipes, scenarios, claims, variants, pairs and seeds."""
