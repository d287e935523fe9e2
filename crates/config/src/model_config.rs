//! The architecture of a model, read from the `config.json` that its publisher ships.
