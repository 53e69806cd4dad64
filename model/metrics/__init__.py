"""How good maps and masks are."""
