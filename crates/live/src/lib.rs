//! Everything that touches a network.
