"""The tests. A package of its own, as other projects install one of this name."""
