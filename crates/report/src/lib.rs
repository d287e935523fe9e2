//! Outcomes as JSON, text sections and tables.
