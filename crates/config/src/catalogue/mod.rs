//! What the program knows without being told: models, GPUs, coefficients, presets.
