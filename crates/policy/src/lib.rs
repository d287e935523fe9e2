//! Every policy axis: the trait, its read-only view, and the built-in policies, one file each.
